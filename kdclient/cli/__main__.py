"""`python -m kdclient.cli`: the `potstill` command where its script is not on the path."""

from kdclient.cli import main

if __name__ == "__main__":
    main()

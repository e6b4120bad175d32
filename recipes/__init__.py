"""The published experiments: job specs, what they should give, and the runner that compares.

Each folder here is one experiment: job specs as the API takes them, and a `recipe.json` that says
which of them run in which order and variations, and which numbers are expected.
"""

"""`python -m doctor`, or `potstill doctor`: tries every connection, and says what to do.

A package of its own, because it looks at what no other package may see together: the settings and
stores of `kdstore`, and the head of `migrations`. Nothing imports it. `kdclient`, which knows
neither, runs it as a process; so it also works where only API or worker are installed, and what
is not there (torch in the API's image, migrations in the worker's) is told as not here.
Nothing that it prints holds a URL, a password or what a library said.
"""

"""Typed Python client of the HTTP API, and the `potstill` command line."""

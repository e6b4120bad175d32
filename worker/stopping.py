"""How work ends in the middle of many bytes: what is asked at every chunk raises this."""


class WorkStopped(Exception):
    """Bytes were on their way when the work had to stop; those that came count for nothing."""

"""Files of strangers on their way in."""

"""Pages of the documentation that are written from results, never by hand."""

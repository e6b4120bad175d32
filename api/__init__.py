"""HTTP: FastAPI routes over kdstore. Loads no torch."""

"""Celery: takes jobs, supervises their training in a child process, keeps the lease."""

"""One benchmark per process."""

"""The standard processes: openeo-processes-dask's, and what this project replaces or adds."""

"""Deep satellite-fusion models as openEO processes.

Importing the package is cheap: no torch, no dask, no server.
"""

__version__ = "0.1.0"

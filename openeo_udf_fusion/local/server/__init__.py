"""An openEO API 1.2 server, thin over the local executor."""

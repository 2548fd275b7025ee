"""What a backend and its users get: archives, catalogue records, processes on a server."""

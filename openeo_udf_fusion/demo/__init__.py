"""The demonstration: a generated scene of two sensors, and the picture of what becomes of it."""

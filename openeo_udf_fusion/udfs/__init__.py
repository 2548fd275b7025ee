"""The text of each UDF, as it is shipped to a backend."""

"""The process graph of each published user-defined process."""

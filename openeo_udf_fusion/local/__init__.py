"""The local executor: runs process graphs on files as a production backend would."""

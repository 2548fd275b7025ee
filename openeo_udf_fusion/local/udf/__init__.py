"""UDFs as a production backend runs them: what they are given, where they run, what they may need."""

"""Score a model against the classical methods on pixels that its training never saw, and say so honestly."""

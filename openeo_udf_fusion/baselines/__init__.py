"""Classical methods and comparators, of the same shape as a model: arrays in, arrays out."""

"""Training data, losses, masks, and one readable script per system."""

"""The networks, their cards and their weights: torch inside, numpy at the seam."""

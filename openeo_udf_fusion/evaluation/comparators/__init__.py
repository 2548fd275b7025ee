"""Networks that TAMRF is compared with: weights beside a card each, and what they say, like a baseline."""

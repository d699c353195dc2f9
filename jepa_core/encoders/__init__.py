"""Which encoders there are, what each costs, and their weights: bundled, by timm, or a file of one's own."""

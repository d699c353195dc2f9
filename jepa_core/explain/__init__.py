"""Why one image has its score: its place, its singular values, its directions."""

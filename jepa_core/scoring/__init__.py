"""Scoring runs: images x encoder x output -> rows in the store, fully or by a sketch."""

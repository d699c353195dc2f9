"""Scores in other people's tools, each behind a dependency that only its users need."""

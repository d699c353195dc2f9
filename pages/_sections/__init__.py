"""Sections that one page alone uses, by page."""

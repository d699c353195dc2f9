"""Sections of the Image page."""

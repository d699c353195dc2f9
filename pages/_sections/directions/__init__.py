"""Sections of the Directions page."""

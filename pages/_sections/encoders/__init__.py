"""Sections of the Encoders page."""

"""Sections of the Domains page."""

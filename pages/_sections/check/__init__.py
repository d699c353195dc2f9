"""Sections of the Check page."""

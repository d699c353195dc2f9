"""Sections of the Theory page, one for each experiment."""

"""Sections of the Studies page, one for each figure of the paper."""

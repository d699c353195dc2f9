"""The terminal: `python -m jepa_core COMMAND`."""

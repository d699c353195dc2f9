"""Rows -> Plotly figures. Pure functions: no store, no encoder, no page."""

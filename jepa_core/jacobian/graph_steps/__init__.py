"""The steps that make a graph of products, and edit it: one verb a file (`jepa_core.jacobian.linearize`)."""

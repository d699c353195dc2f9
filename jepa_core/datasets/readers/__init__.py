"""Datasets that are not bundled, by the readers of the libraries that know their formats."""

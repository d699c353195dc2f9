"""Named sets of pictures that can be listed without reading a pixel: bundled, folders, archives, libraries' own."""

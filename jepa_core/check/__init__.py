"""Does a picture belong? Evidence, and the verdict that it comes to."""

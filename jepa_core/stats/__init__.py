"""How sure numbers are: separation of two sets, conformal p-values, nearest neighbours. Arrays in, numbers out."""

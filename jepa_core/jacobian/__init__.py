"""From an encoder to the singular values of its Jacobian, exactly or by a sketch. Knows no encoder by name."""

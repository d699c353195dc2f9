"""From an encoder to the singular values of its Jacobian, exactly or by a sketch.

In the order to read it: `engine`, the face of the rest; `backend`, what its two ways have in common; `traced`, the
usual one, with `linearize`, the `graph_steps` that it takes, the derivatives of layers (`vjp_rules`) and `buffers`;
`autograd`, the general one; `batch_plan`, how much is computed together; `finite_differences`, who judges where the two
differ. From Jacobians to scores: `gram`, `spectrum`, `score_variants`, `rank` with `last_layers`, and the `sketch`.
No encoder is imported: `encoder_protocol` says what one is asked.
"""

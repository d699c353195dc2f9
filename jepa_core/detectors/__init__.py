"""Distance baselines on embeddings: `fit` on training embeddings, `score` others; larger is more outlying."""

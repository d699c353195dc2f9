"""What is differentiated."""

from collections.abc import Callable

from torch import Tensor

Embed = Callable[[Tensor], Tensor]
"""A differentiable map from images (B, C, H, W) to embeddings (B, K), each image on its own."""

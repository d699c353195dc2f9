"""How products are computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch

Precision = Literal["fp32", "tf32", "bf16"]
"""How products are computed: in float32, in float32 with TensorFloat-32 products (CUDA), or in bfloat16.

In the usual way the forward pass stays float32 whichever is chosen, and in both the Gram is float64.
"""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@contextmanager
def arithmetic(precision: Precision) -> Iterator[None]:
    """TensorFloat-32 products inside or not; by default CUDA's convolutions have them, which is not float32."""
    backends: Any = (torch.backends.cuda.matmul, getattr(torch.backends.cudnn, "conv"))  # noqa: B009 (has no type)
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "tf32" if precision == "tf32" else "ieee"
        yield
    finally:
        for backend, was in zip(backends, before, strict=True):
            backend.fp32_precision = was

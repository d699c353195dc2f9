"""What this package asks of an encoder. It imports none, and anything that answers can be differentiated."""

from collections.abc import Callable, Hashable
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

Embed = Callable[[Tensor], Tensor]
"""A differentiable map from images (B, C, H, W) to embeddings (B, K), each image on its own."""


@runtime_checkable
class NamedOutputs(Protocol):
    """The outputs of an encoder by their names."""

    def check_output(self, output: str | None) -> str:
        """The output's name, the default's for None; an error for a name that is not there."""


@runtime_checkable
class LoadedEncoder(Protocol):
    """An encoder whose weights are in memory. `kept` is where others put what they made of it and need again."""

    device: str
    kept: dict[Hashable, Any]

    @property
    def spec(self) -> NamedOutputs:
        """Which outputs it has."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the normalised input."""

    def module(self, output: str | None = None) -> nn.Module:
        """The map (B, C, H, W) -> (B, K) of an output, in eval mode."""

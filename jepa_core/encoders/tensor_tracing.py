"""What tensors become while code that is not ours works on them."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

_RESAMPLING = ("interpolate", "upsample", "grid_sample")


class Following(TorchFunctionMode):
    """Follows tensors through a renaming: what each was made of, what was resampled, and what was cut wrongly."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self._made_of = {id(tensor): {name} for name, tensor in tensors.items()}
        self._kept: list[Tensor] = list(tensors.values())  # an id is one tensor's as long as that is kept
        self.resampled: set[int] = set()
        self.scrambled: set[str] = set()

    def of(self, tensor: Tensor) -> set[str]:
        """The names of the tensors that one was made of."""
        return self._made_of.get(id(tensor), set())

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        sources = set().union(*(self.of(tensor) for tensor in given))
        if not sources:
            return result
        name = getattr(func, "__name__", "")
        resampled = any(word in name for word in _RESAMPLING) or any(id(tensor) in self.resampled for tensor in given)
        for made in tree_leaves(result):
            if isinstance(made, Tensor):
                self._made_of[id(made)] = self.of(made) | sources
                self._kept.append(made)
                if resampled:
                    self.resampled.add(id(made))
                elif name in ("reshape", "view") and not _same_order(given[0].shape, made.shape):
                    self.scrambled |= sources
        return result


def _same_order(before: Iterable[int], after: Iterable[int]) -> bool:
    """Whether a reshape only splits axes, or merges neighbours: else rows of one length were cut into another."""
    ends: list[set[int]] = [set(), set()]
    for found, shape in zip(ends, (before, after), strict=True):
        size = 1
        for side in shape:
            size *= side
            found.add(size)
    return ends[0] <= ends[1] or ends[1] <= ends[0]

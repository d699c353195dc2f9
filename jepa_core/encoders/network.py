"""The network of an encoder: a timm backbone and, for encoders trained here, a projector behind it."""

from collections.abc import Callable
from threading import Lock
from typing import Any

import timm
from timm.models import _builder
from torch import Tensor, nn


class EncoderNet(nn.Module):
    """(B, C, H, W) -> (B, K): the projector's output; without a projector the backbone's pooled embedding.

    `state_dict` has the keys `backbone.*` and `projector.*`. The arguments are those of an `EncoderSpec`: a timm model
    name, its keyword arguments, the widths of the projector's layers, and whether the architecture's own last layer is
    the projector. Weights are fresh and random, or `load` puts those of the backbone and its head in their place; it is
    given the backbone and timm's renaming of the files of its family (None where there is none).
    """

    backbone: nn.Module
    projector: nn.Module

    def __init__(
        self,
        architecture: str,
        architecture_kwargs: dict[str, Any],
        projector: tuple[int, ...] = (),
        *,
        head: bool = False,
        load: Callable[[nn.Module, Any], object] | None = None,
    ) -> None:
        super().__init__()
        # JSON has no tuples, and timm asks for them.
        kwargs: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in architecture_kwargs.items()
        }
        if not head:
            kwargs["num_classes"] = 0
        if load is None:
            self.backbone = timm.create_model(architecture, pretrained=False, **kwargs)
        else:
            self.backbone, rename = with_renaming(architecture, **kwargs)
            load(self.backbone, rename)
        if head:
            self.projector = self.backbone.get_classifier()  # type: ignore[operator]
            self.backbone.reset_classifier(0)  # type: ignore[operator]
        else:
            self.projector = _projector(int(self.backbone.num_features), projector)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """The embedding of normalised images."""
        return self.projector(self.backbone(images))

    def explicit_attention(self) -> None:
        """Switch fused attention off: its backward pass recomputes the attention map, once for every cotangent."""
        for module in self.modules():
            if hasattr(module, "fused_attn"):
                setattr(module, "fused_attn", False)  # noqa: B010 (a plain assignment has no type here)


_BUILDING = Lock()  # timm's loader is replaced for one network at a time


def with_renaming(architecture: str, **kwargs: Any) -> tuple[nn.Module, Callable | None]:
    """A network of timm with random weights, and timm's renaming of the tensors of its family's files.

    timm gives the renaming to its own loader alone, which drops and resamples tensors without a word; so a loader that
    only keeps it stands in that one's place.
    """
    heard: list[Callable | None] = [None]

    def keep(_model: nn.Module, *_args: object, filter_fn: Callable | None = None, **_kwargs: object) -> None:
        heard.append(filter_fn)

    with _BUILDING:
        loader = _builder.load_pretrained
        _builder.load_pretrained = keep  # type: ignore[assignment]
        try:
            # custom_load is for files in other formats than PyTorch's; timm's copies on the hub are PyTorch's.
            model = timm.create_model(
                architecture, pretrained=True, pretrained_cfg_overlay={"custom_load": False}, **kwargs
            )
        finally:
            _builder.load_pretrained = loader
    return model, heard[-1]


def _projector(width: int, widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for position, out in enumerate(widths):
        layers.append(nn.Linear(width, out))
        if position + 1 < len(widths):
            # In eval mode BatchNorm is an affine map and keeps images apart; GELU keeps the Jacobian smooth.
            layers += [nn.BatchNorm1d(out), nn.GELU()]
        width = out
    return nn.Sequential(*layers)

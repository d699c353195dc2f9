"""The network of an encoder: a timm backbone and, for encoders trained here, a projector behind it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any

import timm
from torch import Tensor, nn


class EncoderNet(nn.Module):
    """(B, C, H, W) -> (B, K): the projector's output; without a projector the backbone's pooled embedding.

    `state_dict` has the keys `backbone.*` and `projector.*`. The arguments are those of an `EncoderSpec`: a timm model
    name, its keyword arguments, the widths of the projector's layers, and whether the architecture's own last layer is
    the projector. Weights are fresh and random, or timm reads the backbone's and the head's from the file `pretrained`,
    whatever keys its publisher gave them; `RuntimeError` for a file that lacks some.
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
        pretrained: Path | None = None,
    ) -> None:
        super().__init__()
        # JSON has no tuples, and timm asks for them.
        kwargs: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in architecture_kwargs.items()
        }
        if not head:
            kwargs["num_classes"] = 0
        if pretrained is not None:
            # custom_load is for files in other formats than PyTorch's; timm's copies on the hub are PyTorch's.
            kwargs["pretrained_cfg_overlay"] = {"file": str(pretrained), "custom_load": False}
        with nullcontext() if pretrained is None else _nothing_missing():
            self.backbone = timm.create_model(architecture, pretrained=pretrained is not None, **kwargs)
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


_LOADING = Lock()  # the level of timm's logger belongs to one load at a time


@contextmanager
def _nothing_missing() -> Iterator[None]:
    """Raise `RuntimeError` where timm leaves weights random that a file lacks.

    For a network without the classifier that its publisher trained, timm loads what there is and only logs the rest.
    """
    missing: list[str] = []
    logger = logging.getLogger("timm.models._builder")

    def hear(record: logging.LogRecord) -> bool:
        if record.getMessage().startswith("Missing keys"):
            missing.append(record.getMessage().split(" discovered")[0])
        return record.levelno >= shown

    with _LOADING:
        level, shown = logger.level, logger.getEffectiveLevel()
        logger.addFilter(hear)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.setLevel(level)
            logger.removeFilter(hear)
    if missing:
        raise RuntimeError(missing[0])


def _projector(width: int, widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for position, out in enumerate(widths):
        layers.append(nn.Linear(width, out))
        if position + 1 < len(widths):
            # In eval mode BatchNorm is an affine map and keeps images apart; GELU keeps the Jacobian smooth.
            layers += [nn.BatchNorm1d(out), nn.GELU()]
        width = out
    return nn.Sequential(*layers)

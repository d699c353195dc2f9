"""From pictures to tensors: what views are drawn from, and what the finished encoder will be given.

Both are kept as bytes and turned to numbers batch by batch. The crop is that of the finished encoder's own timm
transform, made once, so an evaluation input is exactly what the encoder would make of the original picture.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from jepa_core import images
from jepa_core.errors import BadImage, DatasetError
from jepa_core.pretrain.data import PARTS, Picture, Source, open_source
from jepa_core.pretrain.recipes import Recipe

LEAST_PICTURES = {"train": 80, "validation": 10, "test": 10}
"""How many pictures each part needs: what 100 pictures give."""

_CHOICE_SEED = 1


@dataclass(frozen=True, eq=False)
class Part:
    """One part of the pictures, at the encoder's input size and before normalisation, and their classes' numbers."""

    pictures: UInt8[Tensor, "n channel height width"]
    labels: Int[ndarray, "n"]

    def sample(self, most: int) -> "Part":
        """At most so many of the pictures, always the same ones."""
        chosen = _fixed_choice(len(self.labels), min(most, len(self.labels)))
        return Part(self.pictures[chosen], self.labels[chosen])


@dataclass(frozen=True, eq=False)
class TrainingData:
    """All that a training reads."""

    source: Source
    originals: UInt8[Tensor, "n channel source_height source_width"]  # the train part, from which views are drawn
    parts: dict[str, Part]
    data_config: dict[str, Any]  # timm's, of the finished encoder
    unreadable: int  # files that were left out

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the pixels that views are drawn from: a copy of the pictures elsewhere has the same."""
        return hashlib.sha256(self.originals.numpy().data).hexdigest()

    @property
    def summary(self) -> str:
        """How many pictures and classes there are, in words."""
        counts = (f"{len(self.parts[part].labels)} {use}" for part, use in _USES.items())
        classes = len(self.source.classes)
        return f"{', '.join(counts)}, {classes if classes > 1 else 'no'} classes"


_USES = {"train": "pictures to train", "validation": "to validate", "test": "to test"}


def load(recipe: Recipe, folder: Path | None = None) -> TrainingData:
    """Read a recipe's pictures; files that cannot be read are left out and counted.

    Raises `UnknownName` for data there is not, and `DatasetError` for a folder that is missing, superfluous, cannot be
    listed, or has too few pictures.
    """
    source = open_source(recipe, folder)
    listed = source.parts | {"train": _share(source.parts["train"], recipe.share)}
    config = _plain_config(recipe)
    larger = config | {"input_size": (recipe.input_size[0], *recipe.source_size)}
    readable = {part: _read(listed[part], (config, larger) if part == "train" else (config,)) for part in PARTS}
    _check_counts(recipe, {part: len(labels) for part, (_tensors, labels) in readable.items()})
    parts = {part: Part(tensors[0], labels) for part, (tensors, labels) in readable.items()}
    return TrainingData(
        source=source,
        originals=readable["train"][0][1],
        parts=parts,
        data_config=config | _measure(parts["train"].pictures),
        unreadable=sum(len(listed[part]) - len(parts[part].labels) for part in PARTS),
    )


def _share(pictures: Sequence[Picture], share: float) -> list[Picture]:
    """A share of the pictures, the same ones each time, in their order."""
    return [pictures[index] for index in _fixed_choice(len(pictures), round(share * len(pictures)))]


def _fixed_choice(count: int, chosen: int) -> Int[ndarray, "chosen"]:
    """So many of the positions below `count`, by a fixed permutation, in their order."""
    return np.sort(np.random.default_rng(_CHOICE_SEED).permutation(count)[:chosen])


def _read(pictures: Sequence[Picture], configs: Sequence[dict[str, Any]]) -> tuple[list[Tensor], ndarray]:
    """The crops of the readable pictures, one tensor for each data config, and their labels."""
    crops: list[list[ndarray]] = [[] for _config in configs]
    labels = []
    for label, read in pictures:
        try:
            image = read()
        except (BadImage, DatasetError):
            continue
        labels.append(label)
        for made, config in zip(crops, configs, strict=True):
            made.append(np.array(images.crop(image, config)))
    return [_stack(made) for made in crops], np.array(labels, dtype=np.int64)


def _stack(crops: list[ndarray]) -> UInt8[Tensor, "n channel height width"]:
    if not crops:  # told as too few pictures, by their number
        return torch.empty(0, 1, 1, 1, dtype=torch.uint8)
    stacked = torch.from_numpy(np.stack(crops))
    return stacked[:, None] if stacked.ndim == 3 else stacked.permute(0, 3, 1, 2).contiguous()


def _check_counts(recipe: Recipe, counts: dict[str, int]) -> None:
    """Only a folder can have too few: too small for a batch, for neighbours, for an effective rank."""
    if all(counts[part] >= least for part, least in LEAST_PICTURES.items()):
        return
    found, needed = (
        ", ".join(f"{numbers[part]} {use}" for part, use in _USES.items()) for numbers in (counts, LEAST_PICTURES)
    )
    raise DatasetError(
        f"The folder gives the recipe {recipe.name!r} {found}, of those that can be read; at least {needed} are "
        f"accepted, which a folder of {math.ceil(100 / recipe.share)} gives; choose a larger one."
    )


def _plain_config(recipe: Recipe) -> dict[str, Any]:
    """The encoder's data config but for the normalisation, which leaves values in [0, 1]."""
    channels = recipe.input_size[0]
    return {
        "input_size": recipe.input_size,
        "interpolation": recipe.interpolation,
        "crop_pct": 1.0,
        "crop_mode": "center",
        "mean": (0.0,) * channels,
        "std": (1.0,) * channels,
    }


def _measure(pictures: UInt8[Tensor, "n channel height width"]) -> dict[str, list[float]]:
    """Mean and standard deviation of each channel over all pixels."""
    std, mean = torch.std_mean(to_float(pictures), dim=(0, 2, 3))
    return {"mean": [round(x, 4) for x in mean.tolist()], "std": [round(x, 4) for x in std.tolist()]}


def to_float(
    pictures: UInt8[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch channel height width"]:
    """Bytes as values in [0, 1]."""
    return pictures.float() / 255


def normalise(
    pictures: Float[Tensor, "batch channel height width"], data_config: dict[str, Any]
) -> Float[Tensor, "batch channel height width"]:
    """(pictures - mean) / std, channel by channel, as the encoder's transform does it."""
    mean, std = (pictures.new_tensor(data_config[key])[:, None, None] for key in ("mean", "std"))
    return (pictures - mean) / std

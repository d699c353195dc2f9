"""The pictures a recipe trains on, resized once by the very transform that the finished encoder will use.

Views are drawn from these tensors, so an evaluation input and a training input differ by the view alone.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from PIL import Image
from torch import Tensor

from jepa_core import digits
from jepa_core.errors import UnknownName
from jepa_core.pretrain.recipes import Recipe


@dataclass(frozen=True)
class Part:
    """One part of a data set: `pictures` with values in [0, 1], and labels, which only the probes see."""

    pictures: Float[Tensor, "n channel height width"]
    labels: Int[ndarray, "n"]


@dataclass(frozen=True)
class Source:
    """Where a recipe's data come from, for the model card."""

    training: str  # the dataset of the app that it is trained on
    reference: str  # the held-out one on which "normal" is measured
    description: str
    terms: str


SOURCES = {
    "digits": Source(
        training="digits-train",
        reference="digits-test",
        description=(
            "scikit-learn's load_digits(), 1797 grey pictures of 8 x 8 pixels: 1077 to train, 360 to validate, "
            "360 to test, by a fixed permutation (jepa_core.digits)"
        ),
        terms=(
            "Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, "
            "CC BY 4.0; the pictures come with scikit-learn and are not copied here"
        ),
    )
}


def load_part(recipe: Recipe, part: str) -> Part:
    """The "train", "validation" or "test" part, before normalisation; `UnknownName` for data there is not."""
    if recipe.data not in SOURCES:
        raise UnknownName("training data", recipe.data, SOURCES)
    from timm.data import create_transform

    to_tensor = create_transform(**_plain_config(recipe), is_training=False)
    pictures, labels = digits.load_split(part)
    return Part(torch.stack([to_tensor(Image.fromarray(picture)) for picture in pictures]), labels)


def measure_data_config(recipe: Recipe, train: Part) -> dict[str, Any]:
    """timm's data config with the mean and standard deviation of each channel over the train part's pixels."""
    std, mean = torch.std_mean(train.pictures, dim=(0, 2, 3))
    measured = {"mean": [round(x, 4) for x in mean.tolist()], "std": [round(x, 4) for x in std.tolist()]}
    return _plain_config(recipe) | measured


def _plain_config(recipe: Recipe) -> dict[str, Any]:
    """The encoder's data config but for the normalisation, which leaves values in [0, 1]."""
    channels = recipe.input_size[0]
    return {
        "input_size": recipe.input_size,
        "interpolation": recipe.interpolation,
        "crop_pct": 1.0,
        "mean": (0.0,) * channels,
        "std": (1.0,) * channels,
    }


def normalise(
    pictures: Float[Tensor, "batch channel height width"], data_config: dict[str, Any]
) -> Float[Tensor, "batch channel height width"]:
    """(pictures - mean) / std, channel by channel, as the encoder's transform does it."""
    mean, std = (pictures.new_tensor(data_config[key])[:, None, None] for key in ("mean", "std"))
    return (pictures - mean) / std

"""Recipes: everything that decides which weights come out, as data. One dataclass, one entry an encoder.

`python -m jepa_core pretrain NAME` follows the recipe of that name. Its choices were made on validation parts only.
"""

from dataclasses import dataclass
from typing import Any

from jepa_core.errors import UnknownName
from jepa_core.pretrain.views import ViewRange


@dataclass(frozen=True)
class Recipe:
    """One encoder's training. Changing any field makes other weights."""

    name: str  # of the encoder and its files
    data: str  # a name that `jepa_core.pretrain.data.load_parts` knows
    description: str  # for the model card
    architecture: str  # a timm model name
    architecture_kwargs: dict[str, Any]
    projector: tuple[int, ...]  # widths of its layers; the last is K
    input_size: tuple[int, int, int]  # channels, height, width
    interpolation: str  # by which pictures are resized to the input
    global_view: ViewRange
    local_view: ViewRange
    global_views: int = 2
    local_views: int = 2
    sigreg_weight: float = 0.05  # lambda of the loss
    sigreg_directions: int = 256
    batch: int = 256  # pictures a step, each in all its views
    steps: int = 1000
    warmup_steps: int = 50
    learning_rate: float = 1e-3  # at its highest
    weight_decay: float = 0.05
    bf16: bool = False  # the network's products in bfloat16; twice as fast on CPUs with AMX
    seed: int = 0
    probe_every: int = 100  # steps between validation probes
    checkpoint_every: int = 100  # steps of work that an interruption may lose
    limits: tuple[str, ...] = ()  # known failures, one sentence each, for the model card


_DIGITS = Recipe(
    name="digits",
    data="digits",
    description="A small vision transformer that saw 1077 handwritten digits, without their labels.",
    architecture="vit_tiny_patch16_224",
    architecture_kwargs={
        "img_size": 16,
        "in_chans": 1,
        "patch_size": 4,
        "embed_dim": 128,
        "depth": 3,
        "num_heads": 4,
        "class_token": False,
        "global_pool": "avg",
        "final_norm": False,  # so that no direction of the backbone's embedding is lost to a LayerNorm
    },
    projector=(256, 256, 16),
    input_size=(1, 16, 16),
    interpolation="bicubic",
    global_view=ViewRange(
        zoom=(0.85, 1.2), stretch=0.2, rotation=15, shear=0.2, shift=0.1, bend=0.03, contrast=0.2, noise=0.05
    ),
    # Mild for local views, so that the views leave more of a digit for the embedding to spread over.
    local_view=ViewRange(
        zoom=(0.8, 1.5), stretch=0.2, rotation=15, shear=0.2, shift=0.1, bend=0.04, contrast=0.2, erase=0.4, noise=0.1
    ),
    learning_rate=2e-3,
    steps=800,
    bf16=True,
    limits=(
        "Its score is upside down on most foreign pictures: it finds flipped digits, noise, flat colours, photo "
        "tiles, shapes and galaxies more likely than held-out digits (AUROC 0.00 to 0.24). The distance in the "
        "embedding tells them apart.",
        "It saw white digits on black paper only: for dark strokes on light paper its scores mean nothing known.",
        "Colour is dropped, and whatever is finer than 16 x 16 pixels.",
        "It saw no mirrored digits, but nothing taught it that they are wrong: do not expect it to tell them apart.",
        "The 13 writers of its training digits wrote the held-out ones too; an unfamiliar hand can look unlikely.",
    ),
)

RECIPES = {recipe.name: recipe for recipe in (_DIGITS,)}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name, else `UnknownName` with the names there are."""
    if name not in RECIPES:
        raise UnknownName("recipe", name, RECIPES)
    return RECIPES[name]

"""Recipes: everything that decides which weights come out, as data. One dataclass, one entry an encoder.

`python -m jepa_core pretrain NAME` follows the recipe of that name. Its choices were made on validation parts only.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from jepa_core.errors import UnknownName
from jepa_core.pretrain.views import ViewRange


@dataclass(frozen=True)
class Folder:
    """The folder of pictures that a recipe was made for, known by its classes; any other may take its place."""

    classes: tuple[str, ...]
    training: str  # the listed dataset with some of its train part
    reference: str  # and with some of its test part
    description: str  # for the model card
    terms: str


@dataclass(frozen=True)
class Recipe:
    """One encoder's training. Changing any field makes other weights."""

    name: str  # of the encoder and its files
    data: str  # a name that `jepa_core.pretrain.data.open_source` knows; "folder": one given with the command
    description: str  # for the model card
    architecture: str  # a timm model name
    architecture_kwargs: dict[str, Any]
    projector: tuple[int, ...]  # widths of its layers; the last is K
    input_size: tuple[int, int, int]  # channels, height, width
    source_size: tuple[int, int]  # height, width of the pictures that views are drawn from
    interpolation: str  # by which pictures are resized to both
    global_view: ViewRange
    global_views: int = 2
    local_view: ViewRange = field(default_factory=ViewRange)
    local_views: int = 0
    local_size: tuple[int, int] | None = None  # height, width of local views; None: those of the input
    folder: Folder | None = None
    share: float = 1.0  # of the train pictures, always the same ones
    half_weights: bool = False  # weights rounded to float16, in a file of half the size
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


def _vit(channels: int, side: int, patch: int, width: int, depth: int, heads: int) -> dict[str, Any]:
    """timm's arguments for a vision transformer whose embedding is the mean of its patches."""
    return {
        "img_size": side,
        "in_chans": channels,
        "patch_size": patch,
        "embed_dim": width,
        "depth": depth,
        "num_heads": heads,
        "class_token": False,
        "global_pool": "avg",
        "final_norm": False,  # so that no direction of the backbone's embedding is lost to a LayerNorm
    }


_DIGIT_VIEW = ViewRange(
    zoom=(0.85, 1.2), stretch=0.2, rotation=15, shear=0.2, shift=0.1, bend=0.03, contrast=0.2, noise=0.05
)
# Mild for local views, so that the views leave more of a digit for the embedding to spread over.
_DIGIT_LOCAL_VIEW = ViewRange(
    zoom=(0.8, 1.5), stretch=0.2, rotation=15, shear=0.2, shift=0.1, bend=0.04, contrast=0.2, erase=0.4, noise=0.1
)

_DIGITS = Recipe(
    name="digits",
    data="digits",
    description="A small vision transformer that saw 1077 handwritten digits, without their labels.",
    architecture="vit_tiny_patch16_224",
    architecture_kwargs=_vit(channels=1, side=16, patch=4, width=128, depth=3, heads=4),
    projector=(256, 256, 16),
    input_size=(1, 16, 16),
    source_size=(16, 16),
    interpolation="bicubic",
    global_view=_DIGIT_VIEW,
    local_view=_DIGIT_LOCAL_VIEW,
    local_views=2,
    half_weights=True,
    learning_rate=2e-3,
    steps=1600,
    bf16=True,
    limits=(
        "Its projector's score is upside down on most foreign pictures: it finds galaxies (AUROC 0.00), MNIST (0.06), "
        "noise (0.11), photos (0.14), flipped digits (0.16), shapes (0.17) and photo tiles (0.32) more likely than "
        "held-out digits. Its backbone's score is upside down on galaxies (0.00) and MNIST (0.03). "
        "The distance in the embedding tells them apart.",
        "It saw white digits on black paper only: for dark strokes on light paper its scores mean nothing known.",
        "Colour is dropped, and whatever is finer than 16 x 16 pixels.",
        "It saw no mirrored digits, but nothing taught it that they are wrong: do not expect it to tell them apart.",
        "The 13 writers of its training digits wrote the held-out ones too; an unfamiliar hand can look unlikely.",
    ),
)

_WORLD = Recipe(
    name="world",
    data="world",
    description="A small vision transformer that saw pictures drawn from a world with a known density.",
    architecture="vit_tiny_patch16_224",
    # One patch, the whole picture: with several, whose embeddings are averaged, places were not learned.
    architecture_kwargs=_vit(channels=3, side=32, patch=32, width=192, depth=4, heads=4),
    projector=(256, 256, 8),
    input_size=(3, 32, 32),
    source_size=(32, 32),
    interpolation="bicubic",
    # Nothing but noise: whatever else the views changed would be a factor of the world that the encoder forgets. It is
    # strong, else one factor is folded until it fills all directions. One view is the picture itself, since pictures
    # without noise are what will be scored.
    global_view=ViewRange(),
    global_views=1,
    local_view=ViewRange(noise=0.6),
    local_views=1,
    half_weights=True,
    sigreg_weight=0.1,
    learning_rate=2e-3,
    steps=2000,  # at 6,000 the embedding is more Gaussian and the score further from the truth
    bf16=True,
    probe_every=400,
    limits=(
        "On 2,000 held-out pictures its projector's score follows the true log-density with a Spearman correlation of "
        "0.36, and of 0.58 with the Gaussian term: it is not a one-to-one map of the world.",
        "It cannot tell a shape's angle, and of its six kinds some overlap.",
        "Its score finds noise most likely (AUROC 0.00), and photos hardly less likely than the world (0.59). It tells "
        "other sets apart (0.83 to 1.00), but there the distance in the embedding is upside down on dark pictures: "
        "digits, MNIST and galaxies (0.06 to 0.09).",
    ),
)

_MIXED = Recipe(
    name="mixed",
    data="mixed",
    description="A small vision transformer that saw handwritten digits and three drawn domains together.",
    architecture="vit_tiny_patch16_224",
    architecture_kwargs=_vit(channels=3, side=32, patch=8, width=128, depth=4, heads=4),
    projector=(256, 256, 32),
    input_size=(3, 32, 32),
    source_size=(32, 32),
    interpolation="bicubic",
    # Beyond the frame of a coloured picture there is no black paper.
    global_view=replace(_DIGIT_VIEW, outside="reflection"),
    local_view=replace(_DIGIT_LOCAL_VIEW, outside="reflection"),
    local_views=2,
    half_weights=True,
    learning_rate=2e-3,
    steps=1600,
    bf16=True,
    limits=(
        "Its projector's score is upside down on noise (AUROC 0.00), inverted digits (0.07), photos (0.19) and "
        "photographed galaxies (0.21): it finds them more likely than held-out pictures of its own kinds.",
        "Its domains differ from each other in plain ways (grey or coloured, flat or shaded), which may be all it "
        "needed to learn.",
        "Whatever is finer than 32 x 32 pixels is dropped.",
    ),
)

_PHOTO_COLOURS = {"contrast": 0.4, "brightness": 0.15, "saturation": 0.4, "hue": 0.05}
_IMAGENETTE = Folder(
    classes=(
        "cassette_player",
        "chain_saw",
        "church",
        "english_springer",
        "french_horn",
        "garbage_truck",
        "gas_pump",
        "golf_ball",
        "parachute",
        "tench",
    ),
    training="imagenette-train",
    reference="imagenette-val",
    description="Imagenette (10 classes of ImageNet-1k, centre-cropped to 96 px)",
    terms="ImageNet's terms of access: non-commercial research and education only; the pictures are not copied here",
)

_PHOTO_LIMITS = (
    "It learned to see little difference between a photo and its mirror image, a part of it, or other colours of it: "
    "do not expect its scores to tell those apart.",
    "Whatever is finer than 48 x 48 pixels is dropped.",
)

_PHOTO = Recipe(
    name="photo",
    data="folder",
    folder=_IMAGENETTE,
    description="A small vision transformer for photos of 48 x 48 pixels, trained without labels.",
    architecture="vit_tiny_patch16_224",
    architecture_kwargs=_vit(channels=3, side=48, patch=8, width=192, depth=6, heads=3),
    projector=(512, 512, 32),
    input_size=(3, 48, 48),
    source_size=(96, 96),
    interpolation="bicubic",
    global_view=ViewRange(
        zoom=(1.0, 1.8),
        stretch=0.2,
        inside=True,
        outside="reflection",
        flip=True,
        grey=0.15,
        blur=1.0,
        **_PHOTO_COLOURS,
    ),
    local_view=ViewRange(
        zoom=(1.6, 4.5),
        stretch=0.2,
        inside=True,
        outside="reflection",
        flip=True,
        grey=0.15,
        blur=0.5,
        **_PHOTO_COLOURS,
    ),
    local_views=4,
    local_size=(24, 24),
    half_weights=True,
    batch=128,
    steps=4400,  # 66 epochs of 8,522 pictures
    learning_rate=2e-3,
    warmup_steps=200,
    bf16=True,
    probe_every=220,
    checkpoint_every=110,
    limits=(
        "Its projector's score is upside down on inverted digits (AUROC 0.08), photographed galaxies (0.13), digits "
        "(0.20), drawn galaxies (0.32) and MNIST (0.37): it finds them more likely than held-out photos. The distance "
        "in the embedding tells most of them apart.",
        *_PHOTO_LIMITS,
    ),
)

_PHOTO_TENTH = replace(
    _PHOTO,
    name="photo-tenth",
    share=0.1,
    limits=(
        "Its projector's score is upside down on photographed galaxies (AUROC 0.11), inverted digits (0.12), digits "
        "(0.19), the world (0.36), MNIST (0.37) and drawn galaxies (0.38), much as photo's. The distance in the "
        "embedding tells them apart.",
        *_PHOTO_LIMITS,
    ),
    description="The encoder 'photo' trained for as many steps on a tenth of its photos.",
)

_PHOTO_2 = replace(
    _PHOTO,
    name="photo-2",
    seed=1,
    limits=_PHOTO_LIMITS,
    description="The encoder 'photo' trained again, from other random weights and in another random order.",
)

RECIPES = {recipe.name: recipe for recipe in (_DIGITS, _WORLD, _PHOTO, _PHOTO_TENTH, _PHOTO_2, _MIXED)}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name, else `UnknownName` with the names there are."""
    if name not in RECIPES:
        raise UnknownName("recipe", name, RECIPES)
    return RECIPES[name]

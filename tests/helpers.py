"""Small things that several tests need: pictures, running a folder, reading its scores back."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from jepa_core import images, scoring
from jepa_core.datasets import get_dataset
from jepa_core.encoders import Encoder
from jepa_core.scoring import score_items, stored_scores
from jepa_core.store import Store


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 20, 3), dtype=np.uint8))


def png(seed: int) -> bytes:
    return images.to_png(picture(seed))


def run(store: Store, encoder: Encoder, folder: Path, output: str | None = None, **options) -> scoring.RunSummary:
    dataset = get_dataset(str(folder))
    return score_items(store, encoder, dataset.name, list(dataset.items()), output, **options)


def names(store: Store, folder: Path) -> list[str]:
    return [member.name for member in store.members(f"folder:{folder}")]


def scores(store: Store, encoder: Encoder, folder: Path, output: str = "projector") -> pd.DataFrame:
    return stored_scores(store, encoder.spec, output, f"folder:{folder}")

"""Which precision is good enough: bfloat16 is used by itself only where it was shown to rank images as float32 does.

Rounding to bfloat16 disturbs small singular values most, so an encoder with an ill-conditioned Jacobian may lose what
the score is made of. Therefore `auto` scores some images of the dataset at hand both ways and compares the ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jepa_core.datasets.spec import Item
from jepa_core.keys import make_key
from jepa_core.progress import Cancelled, never
from jepa_core.scoring.rank import rank_of_loaded
from jepa_core.scoring.run import loaded_config, score_items, score_table
from jepa_core.stats.rank_correlation import spearman
from jepa_core.store import sketches
from jepa_core.store.results import Store

if TYPE_CHECKING:
    from jepa_core.encoders.registry import Encoder
    from jepa_core.jacobian.engine import Precision

IMAGES = 32
"""How many images are scored both ways."""
AGREEMENT = 0.999
"""The Spearman correlation that bfloat16 must reach."""


@dataclass(frozen=True)
class Chosen:
    """A precision, and why in one sentence."""

    precision: "Precision"
    reason: str


def is_fast(device: str) -> bool:
    """Whether the device multiplies bfloat16 faster than float32."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def slow_in_words(precision: str, device: str) -> str:
    """What a precision that a person chose costs on a device that emulates it; empty where it is none such."""
    if precision != "bf16" or device != "cpu" or is_fast(device):
        return ""
    return "bfloat16, which this processor emulates: dozens of times slower than fp32"


def choose(
    store: Store,
    encoder: "Encoder",
    output: str,
    dataset: str,
    items: Sequence[Item],
    *,
    cancelled: Cancelled = never,
) -> Chosen:
    """The precision for a dataset, decided once and recorded. The images that decide it are scored and stored.

    Once recorded it holds on every device, so that the scores of a dataset stay comparable.
    """
    config = loaded_config(encoder, output)
    found = recorded(store, config.space, dataset)
    if found:
        return found
    known = store.scored(config, dataset)
    if all(item.name in known for item in items):
        return Chosen("fp32", "float32, since these images have such scores already")
    if not is_fast(encoder.device):
        return Chosen("fp32", f"float32, since {encoder.device} gains nothing from bfloat16")
    if len(items) <= IMAGES:
        return Chosen("fp32", f"float32, since {len(items)} images are too few to test bfloat16 on")
    agreement = _agreement(store, encoder, output, dataset, items[:: len(items) // IMAGES][:IMAGES], cancelled)
    if agreement is None:
        return Chosen("fp32", "float32, since bfloat16 could not be tested")
    better: Precision = "bf16" if agreement >= AGREEMENT else "fp32"
    sketches.put_precision(store, make_key(config.space, dataset), better, agreement)
    return _chosen(better, agreement)


def _agreement(
    store: Store,
    encoder: "Encoder",
    output: str,
    dataset: str,
    items: Sequence[Item],
    cancelled: Cancelled,
) -> float | None:
    """Spearman's correlation of both precisions' scores; None where fewer than half of the images have both."""
    scores = []
    for precision in ("fp32", "bf16"):
        score_items(store, encoder, dataset, items, output, precision=precision, whole=False, cancelled=cancelled)
    rank = rank_of_loaded(encoder, output)
    for precision in ("fp32", "bf16"):
        table = score_table(store.rows(loaded_config(encoder, output, precision), dataset), rank, precision)
        scores.append(table.set_index("name")["jepa_score"])
    common = scores[0].index.intersection(scores[1].index).intersection([item.name for item in items])
    if len(common) < IMAGES // 2:
        return None
    return spearman(scores[0][common].to_numpy(), scores[1][common].to_numpy())


def recorded(store: Store, space: str, dataset: str) -> Chosen | None:
    """What was decided for a dataset in an encoder's embedding space, or None."""
    found = sketches.precision(store, make_key(space, dataset))
    return _chosen(*found) if found else None


def _chosen(precision: "Precision", agreement: float) -> Chosen:
    found = f"bfloat16 ranks {IMAGES} images of this dataset like float32 to Spearman {agreement:.4f}"
    if precision == "bf16":
        return Chosen("bf16", f"bfloat16: {found}")
    return Chosen("fp32", f"float32: {found}, and {AGREEMENT} is needed")

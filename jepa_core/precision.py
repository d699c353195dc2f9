"""Which precision is good enough: bfloat16 is used by itself only where it was shown to rank images as float32 does.

Rounding to bfloat16 disturbs small singular values most, so an encoder with an ill-conditioned Jacobian may lose what
the score is made of. Therefore `auto` scores some images of the dataset at hand both ways and compares the ranks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.stats import spearmanr

from jepa_core import estimates
from jepa_core.datasets import Item
from jepa_core.keys import make_key
from jepa_core.scoring import known_rank_of, loaded_config, score_items, score_table
from jepa_core.store import Store

if TYPE_CHECKING:
    from jepa_core.encoders import Encoder
    from jepa_core.jacobian import Precision

IMAGES = 32
"""How many images are scored both ways."""
AGREEMENT = 0.999
"""The Spearman correlation that bfloat16 must reach."""


@dataclass(frozen=True)
class Chosen:
    """A precision, and why in one sentence."""

    precision: "Precision"
    reason: str


def _is_fast(device: str) -> bool:
    """Whether the device multiplies bfloat16 faster than float32."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def choose(
    store: Store,
    encoder: "Encoder",
    output: str,
    dataset: str,
    items: Sequence[Item],
    *,
    cancelled: Callable[[], bool] = lambda: False,
) -> Chosen:
    """The precision for a dataset, decided once and recorded. The images that decide it are scored and stored."""
    if not _is_fast(encoder.device):
        return Chosen("fp32", f"float32, since {encoder.device} gains nothing from bfloat16")
    key = make_key(loaded_config(encoder, output).space, dataset, encoder.device)
    recorded = estimates.precision(store, key)
    if recorded is None:
        if len(items) <= IMAGES:
            return Chosen("fp32", f"float32, since {len(items)} images are too few to test bfloat16 on")
        first = items[:: len(items) // IMAGES][:IMAGES]
        for precision in ("fp32", "bf16"):
            score_items(store, encoder, dataset, first, output, precision=precision, whole=False, cancelled=cancelled)
        rank = known_rank_of(encoder, output, store)
        names = {item.name for item in first}
        tables = [
            score_table(store.rows(loaded_config(encoder, output, precision), dataset), rank, precision)
            for precision in ("fp32", "bf16")
            if rank
        ]
        pair = [table[table["name"].isin(names)].set_index("name")["jepa_score"] for table in tables]
        if len(pair) < 2 or len(common := pair[0].index.intersection(pair[1].index)) < IMAGES // 2:
            return Chosen("fp32", "float32, since bfloat16 could not be tested")
        agreement = float(spearmanr(pair[0][common], pair[1][common]).statistic)
        recorded = ("bf16" if agreement >= AGREEMENT else "fp32"), agreement
        estimates.put_precision(store, key, *recorded)
    precision, agreement = recorded
    found = f"bfloat16 ranks {IMAGES} images of this dataset like float32 to Spearman {agreement:.4f}"
    if precision == "bf16":
        return Chosen("bf16", f"bfloat16: {found}")
    return Chosen("fp32", f"float32: {found}, and {AGREEMENT} is needed")

"""Which precision is good enough: bfloat16 is used by itself only where it is faster and ranks images as float32 does.

Whether it is faster a stopwatch says (`jepa_core.scoring.stopwatch`). Rounding to bfloat16 disturbs small singular
values most, so an encoder with an ill-conditioned Jacobian may lose what the score is made of. Therefore `auto` scores
some images of the dataset at hand both ways and compares the ranks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jepa_core.datasets.spec import Item
from jepa_core.keys import make_key
from jepa_core.scoring import stopwatch
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod
from jepa_core.store import sketches
from jepa_core.store.results import Store

if TYPE_CHECKING:
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


def slow_in_words(precision: str, device: str) -> str:
    """What a precision that a person chose costs on a device that is slower in it; empty where it is none such."""
    if precision != "bf16" or stopwatch.matrix_time_ratio(device) * stopwatch.FASTER <= 1:
        return ""
    slower = stopwatch.times(stopwatch.matrix_time_ratio(device))
    return f"bfloat16, in which a product of matrices took {slower} times as long as in float32 here"


def resolved(store: Store, output: EncoderOutput, dataset: str, method: ScoringMethod) -> ScoringMethod:
    """The method with what "auto" stands for now: what the dataset decided, float32 before that."""
    if method.precision != "auto":
        return method
    chosen = recorded(store, output.space, dataset)
    return replace(method, precision=chosen.precision if chosen else "fp32")


def choose(
    store: Store,
    output: EncoderOutput,
    dataset: str,
    items: Sequence[Item],
    agreement_on: Callable[[Sequence[Item]], float | None],
) -> Chosen:
    """The precision for a dataset, decided once and recorded.

    `agreement_on` scores images both ways and gives Spearman's correlation, or None where that failed. Once recorded
    the precision holds on every device, so that the scores of a dataset stay comparable.
    """
    config = output.config()
    found = recorded(store, config.space, dataset)
    if found:
        return _with_time(found, stopwatch.kept_time_ratio(store, output))
    known = store.scored(config, dataset)
    if all(item.name in known for item in items):
        return Chosen("fp32", "float32, since these images have such scores already")
    if len(items) <= IMAGES:
        return Chosen("fp32", f"float32, since {len(items)} images are too few to test bfloat16 on")
    ratio = stopwatch.product_time_ratio(store, output)
    if ratio is None:
        return Chosen("fp32", f"float32, since {output.loaded.device} cannot compute this encoder in bfloat16")
    if ratio > stopwatch.FASTER:
        return Chosen("fp32", f"float32, since {stopwatch.in_words(ratio)}")
    agreement = agreement_on(items[:: len(items) // IMAGES][:IMAGES])
    if agreement is None:
        return Chosen("fp32", "float32, since bfloat16 could not be tested")
    better: Precision = "bf16" if agreement >= AGREEMENT else "fp32"
    sketches.put_precision(store, make_key(config.space, dataset), better, agreement)
    return _with_time(_chosen(better, agreement), ratio)


def recorded(store: Store, space: str, dataset: str) -> Chosen | None:
    """What was decided for a dataset in an encoder's embedding space, or None."""
    found = sketches.precision(store, make_key(space, dataset))
    return _chosen(*found) if found else None


def _chosen(precision: "Precision", agreement: float) -> Chosen:
    found = f"bfloat16 ranks {IMAGES} images of this dataset like float32 to Spearman {agreement:.4f}"
    if precision == "bf16":
        return Chosen("bf16", f"bfloat16: {found}")
    return Chosen("fp32", f"float32: {found}, and {AGREEMENT} is needed")


def _with_time(chosen: Chosen, ratio: float | None) -> Chosen:
    """The choice with what bfloat16 gains on this machine, where that is known and bfloat16 was chosen."""
    if chosen.precision != "bf16" or ratio is None:
        return chosen
    return Chosen("bf16", f"{chosen.reason}; {stopwatch.in_words(ratio)}")

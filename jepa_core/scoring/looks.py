"""What the store knows of images before their full scores: where looks at them lie, and how far estimates have come.

The sizes come with a forward pass in float32, whatever the precision of products; pivots are those of the directions
that an encoder output keeps, and of products in one precision.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray

from jepa_core.images import digest
from jepa_core.jacobian import sketch
from jepa_core.keys import make_key
from jepa_core.scoring import pool
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store import sketches
from jepa_core.store.records import ResultConfig
from jepa_core.store.results import Store

GRAMS = 32
"""Full Grams that the directions of sketches are chosen by, at most."""
FORMAT = 1
"""Changes with what sizes and pivots mean; those of another format are not found."""


def sizes_space(output: EncoderOutput) -> str:
    """The space of the sizes of an output's layers among the store's measures."""
    return make_key("layer sizes", FORMAT, output.space)


def pivots_space(output: EncoderOutput, precision: str, directions: ndarray) -> str:
    """The space of the pivots of an output's sketches along some directions."""
    along = digest(np.ascontiguousarray(directions, dtype=np.float64).tobytes())
    return make_key("log pivots", FORMAT, output.space, precision, along)


def _directions_key(output: EncoderOutput) -> str:
    return make_key("directions", FORMAT, output.space, output.rank.rank)


def kept_directions(store: Store, output: EncoderOutput) -> ndarray | None:
    """The directions (r, K) of an output's sketches: its pool's, or the store's; None before any Gram was seen."""
    if found := pool.shipped(output):
        return found.directions
    kept = sketches.arrays(store, _directions_key(output))
    return None if kept is None else kept["directions"]


def directions_by(output: EncoderOutput, grams: list[ndarray]) -> ndarray:
    """The directions of an output's sketches by the mean of some full Grams."""
    mean = np.stack(grams[:GRAMS]).astype(np.float64).mean(axis=0)
    return sketch.whitened_directions(mean, output.rank.rank, sketch.most_rows(output.k))


def choose_directions(store: Store, output: EncoderOutput, grams: list[ndarray]) -> ndarray:
    """`directions_by` some Grams, kept from then on."""
    made = directions_by(output, grams)
    sketches.put_arrays(store, _directions_key(output), {"directions": made})
    return made


@dataclass(frozen=True)
class Progressed:
    """How far the estimates of a dataset have come, as the store keeps it; nothing yet for zeros."""

    drawn: int = 0
    rows: int = 0
    fidelity: float = 0.0  # 0 where it is not known
    look: float = 0.0  # seconds of a forward pass, and of one product
    product: float = 0.0


def estimates_config(output: EncoderOutput, precision: str, dataset: str) -> ResultConfig:
    """The config of a dataset's estimates. There is one set of them, which grows sharper."""
    return replace(output.config(precision), method=f"estimate:{make_key(dataset)[:16]}")


def progressed(store: Store, output: EncoderOutput, precision: str, dataset: str) -> Progressed:
    """How far the estimates of a dataset have come."""
    found = sketches.arrays(store, estimates_config(output, precision, dataset).key)
    if found is None:
        return Progressed()
    numbers = {name: float(found[name]) for name in ("fidelity", "look", "product")}
    return Progressed(int(found["drawn"]), int(found["rows"]), **numbers)

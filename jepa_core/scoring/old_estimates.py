"""Where version 0.2 and earlier kept estimates: they stay readable until the set is estimated anew."""

from dataclasses import replace

from jepa_core.keys import make_key
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store import sketches
from jepa_core.store.records import ResultConfig
from jepa_core.store.results import Store

_ASKED = (None, 144, 0)  # the products, calibration images and seed that were asked for unless told otherwise


def old_estimates_config(store: Store, output: EncoderOutput, exact: ResultConfig, dataset: str) -> ResultConfig | None:
    """The config of a dataset's sketched scores, which the id of their calibration is part of; None for none."""
    asked = make_key(2, exact.space, exact.precision, dataset, *_ASKED)
    rank = output.rank.rank
    found = sketches.calibration_id(store, make_key(asked, rank))
    before = store.rank(exact.space)
    if found is None and (before is None or before.rank == rank):  # an earlier version kept them without the rank
        found = sketches.calibration_id(store, asked)
    return replace(exact, method=f"sketch:{found}") if found else None

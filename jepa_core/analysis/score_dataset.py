"""Scores of a whole dataset for whoever writes Python: what the store lacks is scored, and then it is looked up."""

import logging
import os
from typing import TYPE_CHECKING

import pandas as pd

from jepa_core.analysis.percentiles import with_percentiles
from jepa_core.datasets.registry import get_dataset
from jepa_core.encoders.registry import load_encoder
from jepa_core.errors import JepaError
from jepa_core.progress import Progress, silent
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod
from jepa_core.scoring.run import ScoringRun
from jepa_core.scoring.stored import stored_scores
from jepa_core.store import shipped
from jepa_core.store.results import Store

if TYPE_CHECKING:
    from jepa_core.encoders.encoder import Encoder

_log = logging.getLogger(__name__)


def score_dataset(
    data: str | os.PathLike[str],
    encoder: "Encoder | str" = "digits",
    output: str | None = None,
    *,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Full scores of a folder of images, or of any dataset that `get_dataset` takes; what is scored is kept.

    Returns a line an image, the least likely first: name, label, digest, jepa_score, percentile (0 to 100, among these
    images) and the other columns of `scoring.stored.stored_scores`. Images that cannot be read are left out, and a
    warning is logged for each. `progress` is called with (done, total).

    Raises `JepaError` for an unknown dataset, encoder or output, and where no image can be scored.

    Example:
        from jepa_core import score_dataset
        score_dataset("FOLDER", encoder="digits").head()
    """
    dataset = get_dataset(data)
    chosen = EncoderOutput.of(load_encoder(encoder) if isinstance(encoder, str) else encoder, output)
    store = Store()
    shipped.load_all_shipped(store)
    summary = ScoringRun.of_dataset(store, chosen, dataset, ScoringMethod(), progress=progress).score()
    for _name, sentence in summary.failed:
        _log.warning(sentence)
    names = {dataset.name_of(position) for position in range(len(dataset))}
    table = stored_scores(store, chosen, dataset.name)
    table = table[table["name"].isin(names)]
    if table.empty:
        raise JepaError(
            f"None of the {len(dataset)} images of {dataset.title} could be scored ({summary.failed[0][1]}); images "
            "that can be read are accepted; look at the folder."
        )
    return with_percentiles(table).sort_values("jepa_score", kind="stable", ignore_index=True)

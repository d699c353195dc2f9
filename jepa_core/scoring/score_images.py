"""Scores of pictures that belong to no dataset: the three-line way from a notebook, and uploads. Nothing is stored."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jepa_core import image_inputs
from jepa_core.errors import BadImage
from jepa_core.image_inputs import Picture
from jepa_core.jacobian.spectrum import Rank
from jepa_core.scoring.batches import exact_work, score_pictures
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.stored import score_table
from jepa_core.store.records import Member, Result, Rows

if TYPE_CHECKING:
    from jepa_core.encoders.encoder import Encoder
    from jepa_core.jacobian.engine import Precision


def score_images(
    pictures: Iterable[Picture],
    encoder: "Encoder | str" = "digits",
    output: str | None = None,
    *,
    precision: "Precision" = "fp32",
) -> pd.DataFrame:
    """Score pictures given as paths, bytes, PIL images or arrays (`images.decode`); nothing is stored.

    Returns the columns of `stored.score_table`, one line a picture in the order given.

    Raises:
        BadImage: for what is no picture, or no list of pictures; `JepaError` for an unknown encoder or output.

    Example:
        from jepa_core import score_images
        score_images(["a.png", "b.jpg"], encoder="digits")
    """
    if isinstance(encoder, str):
        from jepa_core.encoders.registry import load_encoder

        encoder = load_encoder(encoder)
    chosen = EncoderOutput.of(encoder, output)
    named = [
        image_inputs.named_bytes(position, picture) for position, picture in enumerate(image_inputs.several(pictures))
    ]
    results: dict[str, Result] = {}
    unique = {digest: (name, digest, data) for name, digest, data in named}
    work = exact_work(chosen, precision)
    failed = score_pictures(
        encoder, work, list(unique.values()), lambda batch: results.update({r.digest: r for r in batch})
    )
    if failed:
        raise BadImage(failed[0][1])
    return table_of(chosen, [(name, results[digest]) for name, digest, _data in named], precision)


def table_of(
    output: EncoderOutput,
    named: Sequence[tuple[str, Result]],
    precision: str = "fp32",
) -> pd.DataFrame:
    """`score_table` of results that belong to no dataset, such as uploads."""
    if not named:
        return score_table(Rows([], np.empty((0, 0), np.float32), np.empty(0), np.empty(0), []), Rank(1, "no images"))
    results = [result for _name, result in named]
    rows = Rows(
        members=[Member(name, position, "", result.digest) for position, (name, result) in enumerate(named)],
        spectra=np.stack([result.spectrum for result in results]),
        squared_norm=np.array([result.squared_norm for result in results]),
        seconds=np.array([result.seconds for result in results]),
        device=[result.device for result in results],
    )
    return score_table(rows, output.rank, precision)

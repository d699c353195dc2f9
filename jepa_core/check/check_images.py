"""Do pictures belong? The verdict for whoever writes Python."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from jepa_core import image_inputs
from jepa_core.check import evidence, known_set
from jepa_core.datasets.registry import get_dataset
from jepa_core.encoders.registry import load_encoder
from jepa_core.errors import JepaError
from jepa_core.image_inputs import Picture
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store import shipped
from jepa_core.store.results import Store

if TYPE_CHECKING:
    from jepa_core.encoders.encoder import Encoder


def check_images(
    pictures: Iterable[Picture],
    encoder: "Encoder | str" = "digits",
    output: str | None = None,
    reference: str | None = None,
) -> pd.DataFrame:
    """Hold pictures (paths, bytes, PIL images or arrays) against a scored dataset; the encoder's own for None.

    Returns a line a picture with the columns of `check.evidence.outcome_table`: name, verdict, headline, percentile
    with its interval, p-values, what each method finds, and the evidence in words.

    Raises `BadImage` for what is no list of pictures, `JepaError` for a reference that is not scored, and the sentence
    of a picture that cannot be scored.

    Example:
        from jepa_core import check_images
        check_images(["a.png"], encoder="digits")[["name", "verdict", "headline"]]
    """
    given = enumerate(image_inputs.several(pictures))
    named = [image_inputs.named_bytes(position, picture) for position, picture in given]
    chosen = EncoderOutput.of(load_encoder(encoder) if isinstance(encoder, str) else encoder, output)
    if not (reference or chosen.spec.reference):
        raise JepaError(
            f"Encoder {chosen.spec.name!r} has no reference of its own and none was given; a scored dataset is "
            "accepted; name one as reference."
        )
    dataset = get_dataset(reference or chosen.spec.reference)
    store = Store()
    shipped.load_all_shipped(store)
    known = known_set.load_complete(store, chosen, dataset)
    outcome = evidence.check_pictures(chosen, [(name, data) for name, _digest, data in named], known)
    if outcome.failed:
        raise JepaError(outcome.failed[0][1])
    return evidence.outcome_table(outcome)

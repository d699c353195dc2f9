"""One forward pass an image: its embedding and the sizes of the layers, a thousandth of the price of a full score."""

from collections.abc import Sequence

from jepa_core.scoring import looks
from jepa_core.scoring.batches import look_work
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.image_run import ImageRun, RunSummary
from jepa_core.store import sketches
from jepa_core.store.records import Look
from jepa_core.store.results import Store


def looked_at(store: Store, output: EncoderOutput, digests: Sequence[str]) -> set[str]:
    """Which images have had a forward pass, and have its embedding still: that goes with results that are deleted."""
    sized = sketches.measured(store, looks.sizes_space(output), digests)
    return sized & store.there_in("embeddings", output.space, digests)


def look_at_missing(run: ImageRun[Store]) -> RunSummary:
    """A forward pass for each image of a run that has had none."""
    space = looks.sizes_space(run.output)

    def put(found: list[Look]) -> None:
        sketches.put_looks(run.store, run.output.space, space, found)

    return run.do(look_work(run.output), lambda some: looked_at(run.store, run.output, some), put)

"""Full scores of images: all K products, and what else of an image teaches estimates."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from numpy import ndarray

from jepa_core.datasets.spec import Item
from jepa_core.scoring import looks
from jepa_core.scoring.batches import exact_work
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.image_run import ImageRun, RunSummary
from jepa_core.store.records import Result
from jepa_core.store.results import Store


def score_fully(run: ImageRun[Store], items: Sequence[Item] | None = None) -> RunSummary:
    """Full scores of the images of a run, or of some of them, that have none."""
    config, precision = run.output.config(run.method.decided), run.method.decided
    directions = looks.kept_directions(run.store, run.output)
    work = exact_work(run.output, precision, directions=directions)
    chosen = run if items is None else replace(run, items=items, whole=False)
    return chosen.do(
        work,
        known=lambda digests: run.store.done(config, digests),
        put=lambda results: put_full(run.store, run.output, precision, results, directions),
    )


def put_full(
    store: Store, output: EncoderOutput, precision: str, results: Iterable[Result], directions: ndarray | None
) -> None:
    """Write results with the looks at their images, and their pivots along directions; all of it or nothing."""
    found = list(results)
    with store.transaction():
        store.put(output.config(precision), found)
        store.put_measures(looks.sizes_space(output), {one.digest: one.sizes for one in found if one.sizes.size})
        if directions is not None:
            space = looks.pivots_space(output, precision, directions)
            store.put_measures(space, {one.digest: one.pivots for one in found})

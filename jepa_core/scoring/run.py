"""Scoring: images x encoder x output -> rows in the store. Resumable, and nothing is scored twice.

`score_items` adds the store, progress and cancelling to the work on batches (`jepa_core.scoring.batches`);
`score_images` is the three-line way from a notebook.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jepa_core import image_inputs, images
from jepa_core.datasets.spec import Item
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import BadImage, JepaError
from jepa_core.image_inputs import Picture
from jepa_core.jacobian import spectrum
from jepa_core.jacobian.score_variants import VARIANTS
from jepa_core.jacobian.spectrum import Rank
from jepa_core.scoring import rank as scoring_rank
from jepa_core.scoring.batches import Named, Work, exact_work, score_pictures
from jepa_core.store.records import Member, Result, ResultConfig, Rows
from jepa_core.store.results import Store

if TYPE_CHECKING:
    from jepa_core.encoders.registry import Encoder
    from jepa_core.jacobian.engine import Precision

# About how many images are read and looked up together. Their scoring goes batch by batch.
_BLOCK = 64


@dataclass
class RunSummary:
    """What a run did: images scored now, known already (equal ones too), and failed as (name, sentence).

    `notes` are sentences on what it found that a person should know, each said once.
    """

    scored: int = 0
    reused: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    cancelled: bool = False
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def tell(self, sentence: str) -> None:
        """Add a sentence to the notes, unless it is empty."""
        self.notes += [sentence] if sentence else []


def config_of(spec: EncoderSpec, output: str | None = None, precision: str = "fp32") -> ResultConfig:
    """The config of exact results of a bundled encoder, read off its card without loading it."""
    return ResultConfig(spec.weights_digest, spec.transform, spec.check_output(output), precision=precision)


def loaded_config(encoder: "Encoder", output: str | None = None, precision: str = "fp32") -> ResultConfig:
    """The config of exact results of a loaded encoder."""
    return ResultConfig(encoder.weights, encoder.transform, encoder.spec.check_output(output), precision=precision)


def score_items(
    store: Store,
    encoder: "Encoder",
    dataset: str,
    items: Sequence[Item],
    output: str | None = None,
    *,
    precision: "Precision" = "fp32",
    whole: bool = True,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> RunSummary:
    """Score the items of a dataset fully that the store lacks.

    Args:
        store: where results are looked up and kept.
        encoder: a loaded encoder.
        dataset: the dataset's name, under which the items are recorded as members.
        items: which images; unreadable ones are reported in the summary and the run goes on.
        output: the encoder's output; its default for None.
        precision: of the products.
        whole: whether `items` is the whole dataset, so that recorded members that are not among them are gone.
        progress: called with (done, total) after each batch.
        cancelled: asked before each batch.
    """
    output = encoder.spec.check_output(output)
    config = loaded_config(encoder, output, precision)
    method = Method(
        work=exact_work(encoder, output, precision),
        known=lambda digests: store.done(config, digests),
        put=lambda results: store.put(config, results),
    )
    summary = run_items(store, encoder, method, dataset, items, whole=whole, progress=progress, cancelled=cancelled)
    if precision == "fp32":  # with less, noise hides what the rank leaves out
        used, spectra = scoring_rank.rank_of_loaded(encoder, output), store.rows(config, dataset).spectra
        summary.tell(scoring_rank.confirm(store, config.space, used, spectra))
    return summary


@dataclass(frozen=True)
class Method:
    """A way to score: the work on a batch, which images need none, and where results go."""

    work: Work
    known: Callable[[Sequence[str]], set[str]]
    put: Callable[[list], None]


def run_items(
    store: Store,
    encoder: "Encoder",
    method: Method,
    dataset: str,
    items: Sequence[Item],
    *,
    whole: bool,
    progress: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> RunSummary:
    """`score_items` for any method."""
    summary = RunSummary()
    summary.tell(method.work.note)

    def put(results: list) -> None:
        method.put(results)
        summary.scored += len(results)
        summary.reused += sum(len(names[result.digest]) - 1 for result in results)
        tell()

    def done() -> int:
        return summary.scored + summary.reused + len(summary.failed)

    def tell() -> None:
        progress(done(), len(items))

    names: dict[str, list[str]] = {}  # digest -> the images of the block that have it
    if whole:
        listed = {item.name for item in items}
        store.forget_members(dataset, [member.name for member in store.members(dataset) if member.name not in listed])
    start = time.perf_counter()
    tell()
    block = method.work.size * max(1, _BLOCK // method.work.size)  # whole batches
    for first in range(0, len(items), block):
        if cancelled():
            break
        names, missing = _missing(store, method.known, dataset, items[first : first + block], summary)
        failed = dict(score_pictures(encoder, method.work, missing, put, cancelled))
        summary.failed += [
            (name, failed[same[0]].replace(same[0], name))  # equal files fail for the same reason
            for same in names.values()
            if same[0] in failed
            for name in same
        ]
        tell()
    summary.cancelled = done() < len(items)
    summary.seconds = time.perf_counter() - start
    return summary


def _missing(
    store: Store,
    known_of: Callable[[Sequence[str]], set[str]],
    dataset: str,
    block: Sequence[Item],
    summary: RunSummary,
) -> tuple[dict[str, list[str]], list[Named]]:
    """Read a block and record its images as members.

    Returns the names of the images without a result, by digest, and one (name, digest, bytes) for each such digest.
    """
    read: list[tuple[Item, str, bytes]] = []
    listed = known_of([item.listed_digest for item in block if item.listed_digest])
    for item in block:
        if item.listed_digest in listed:  # its picture need not be at hand
            read.append((item, item.listed_digest, b""))
            continue
        try:
            data = item.read()
        except JepaError as error:
            summary.failed.append((item.name, str(error)))
            if not item.listed_digest:  # else it is not gone, it never was here
                store.forget_members(dataset, [item.name])
        else:
            read.append((item, images.digest(data), data))
    store.put_members(dataset, [Member(item.name, item.position, item.label, digest) for item, digest, _data in read])
    known = known_of([digest for _item, digest, _data in read])
    names: dict[str, list[str]] = {}
    missing: list[Named] = []
    for item, digest, data in read:
        if digest in known:
            summary.reused += 1
            continue
        if digest not in names:
            missing.append((item.name, digest, data))
        names.setdefault(digest, []).append(item.name)
    return names, missing


def score_table(rows: Rows, rank: Rank, precision: str = "fp32") -> pd.DataFrame:
    """Scores derived from stored rows: one line an image, in the order of the dataset.

    Columns: name, label, position, digest, NAME_score of each variant (`jepa_core.jacobian.score_variants`; jepa_score
    is Eq. 5), squared_norm, seconds, device, and rank_disagrees (True where the spectrum does not have the encoder's
    rank; with less than float32, whose noise hides what the rank leaves out, never).
    """
    spectra = rows.spectra if rows.members else np.ones((0, rank.rank), dtype=np.float32)
    return pd.DataFrame(
        {
            "name": [member.name for member in rows.members],
            "label": [member.label for member in rows.members],
            "position": [member.position for member in rows.members],
            "digest": [member.digest for member in rows.members],
        }
        | {f"{name}_score": variant.score(spectra, rank.rank, rows.squared_norm) for name, variant in VARIANTS.items()}
        | {
            "squared_norm": rows.squared_norm,
            "seconds": rows.seconds,
            "device": rows.device,
            "rank_disagrees": spectrum.disagrees(spectra, rank.rank) & (precision == "fp32"),
        }
    )


def stored_scores(store: Store, spec: EncoderSpec, output: str, dataset: str, precision: str = "fp32") -> pd.DataFrame:
    """`score_table` of what the store holds for a dataset; empty before anything is scored. Loads no encoder."""
    rows = store.rows(config_of(spec, output, precision), dataset)
    return score_table(rows, scoring_rank.rank_of(spec, output), precision)


def score_images(
    pictures: Iterable[Picture],
    encoder: "Encoder | str" = "digits",
    output: str | None = None,
    *,
    precision: "Precision" = "fp32",
) -> pd.DataFrame:
    """Score pictures given as paths, bytes, PIL images or arrays (`images.decode`); nothing is stored.

    Returns the columns of `score_table`, one line a picture in the order given.

    Raises:
        BadImage: for what is no picture, or no list of pictures; `JepaError` for an unknown encoder or output.

    Example:
        from jepa_core import score_images
        score_images(["a.png", "b.jpg"], encoder="digits")
    """
    if isinstance(encoder, str):
        from jepa_core.encoders.registry import load_encoder

        encoder = load_encoder(encoder)
    output = encoder.spec.check_output(output)
    named = [
        image_inputs.named_bytes(position, picture) for position, picture in enumerate(image_inputs.several(pictures))
    ]
    results: dict[str, Result] = {}
    unique = {digest: (name, digest, data) for name, digest, data in named}
    work = exact_work(encoder, output, precision)
    failed = score_pictures(
        encoder, work, list(unique.values()), lambda batch: results.update({r.digest: r for r in batch})
    )
    if failed:
        raise BadImage(failed[0][1])
    return table_of(encoder, output, [(name, results[digest]) for name, digest, _data in named], precision)


def table_of(
    encoder: "Encoder",
    output: str,
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
    return score_table(rows, scoring_rank.rank_of_loaded(encoder, output), precision)

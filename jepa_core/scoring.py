"""Scoring: images x encoder x output -> rows in the store. Resumable, and nothing is scored twice.

`score_batch` is a plain function of an encoder and inputs, so that it can run anywhere; `score_items` adds the store,
progress and cancelling; `score_images` is the three-line way from a notebook.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy import ndarray
from PIL import Image

from jepa_core import images, spectrum
from jepa_core.datasets import Item
from jepa_core.encoders import EncoderSpec
from jepa_core.errors import JepaError
from jepa_core.records import Member, Result, ResultConfig, Rows
from jepa_core.spectrum import Rank
from jepa_core.store import Store

if TYPE_CHECKING:
    from torch import Tensor

    from jepa_core.encoders import Encoder

# Images read and looked up together. Their scoring goes batch by batch, of the size that the memory allows.
_BLOCK = 64


@dataclass
class RunSummary:
    """What a run did: images scored now, known already (equal ones too), and failed as (name, sentence)."""

    scored: int = 0
    reused: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    cancelled: bool = False
    seconds: float = 0.0


def config_of(spec: EncoderSpec, output: str | None = None) -> ResultConfig:
    """The config of exact results of a bundled encoder, read off its card without loading it."""
    return ResultConfig(spec.weights_digest, spec.transform, spec.check_output(output))


def loaded_config(encoder: "Encoder", output: str | None = None) -> ResultConfig:
    """The config of exact results of a loaded encoder."""
    return ResultConfig(encoder.weights, encoder.transform, encoder.spec.check_output(output))


def score_batch(encoder: "Encoder", output: str, digests: Sequence[str], inputs: "Tensor") -> list[Result | None]:
    """The exact results of a batch of normalised inputs (B, C, H, W); None where the Jacobian is not finite."""
    from jepa_core import jacobian

    start = time.perf_counter()
    grams, embeddings = jacobian.engine_of(encoder, output).gram(inputs.to(encoder.device))
    finite = grams.isfinite().flatten(1).all(1).numpy()
    spectra = np.zeros(embeddings.shape, dtype=np.float32)
    if finite.any():
        spectra[finite] = spectrum.singular_values(grams.numpy()[finite])
    seconds = (time.perf_counter() - start) / len(digests)
    return [
        Result(digest, sigma, embedding, float(np.square(embedding, dtype=np.float64).sum()), seconds, encoder.device)
        if good
        else None
        for digest, good, sigma, embedding in zip(digests, finite, spectra, embeddings.numpy(), strict=True)
    ]


def score_pictures(
    encoder: "Encoder",
    output: str,
    named: Sequence[tuple[str, str, bytes]],
    put: Callable[[list[Result]], None],
    stop: Callable[[], bool] = lambda: False,
) -> list[tuple[str, str]]:
    """Score (name, digest, bytes) triples and return the failures.

    Results are handed to `put` batch by batch; `stop` is asked before each batch, since one may take minutes.
    """
    import torch

    from jepa_core import jacobian

    failed: list[tuple[str, str]] = []
    ready: list[tuple[str, str, Tensor]] = []
    for name, digest, data in named:
        try:
            ready.append((name, digest, encoder.preprocess(images.decode(data, name=name).image)))
        except JepaError as error:
            failed.append((name, str(error)))
    if not ready:
        return failed
    size = jacobian.engine_of(encoder, output).plan.images
    for start in range(0, len(ready), size):
        if stop():
            break
        part = ready[start : start + size]
        inputs = torch.stack([tensor for _name, _digest, tensor in part])
        digests = [digest for _name, digest, _tensor in part]
        results = score_batch(encoder, output, digests, inputs)
        put([result for result in results if result is not None])
        failed += [
            (name, f"The Jacobian of {name} has values that are not finite; it gets no score; look at the picture.")
            for (name, _digest, _tensor), result in zip(part, results, strict=True)
            if result is None
        ]
    return failed


def score_items(
    store: Store,
    encoder: "Encoder",
    dataset: str,
    items: Sequence[Item],
    output: str | None = None,
    *,
    whole: bool = True,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> RunSummary:
    """Score the items of a dataset that the store lacks.

    Args:
        store: where results are looked up and kept.
        encoder: a loaded encoder.
        dataset: the dataset's name, under which the items are recorded as members.
        items: which images; unreadable ones are reported in the summary and the run goes on.
        output: the encoder's output; its default for None.
        whole: whether `items` is the whole dataset, so that recorded members that are not among them are gone.
        progress: called with (done, total) after each batch.
        cancelled: asked before each batch.
    """
    output = encoder.spec.check_output(output)
    config = loaded_config(encoder, output)
    summary = RunSummary()

    def put(results: list[Result]) -> None:
        store.put(config, results)
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
    for first in range(0, len(items), _BLOCK):
        if cancelled():
            break
        names, missing = _missing(store, config, dataset, items[first : first + _BLOCK], summary)
        failed = dict(score_pictures(encoder, output, missing, put, cancelled))
        summary.failed += [
            (name, failed[same[0]].replace(same[0], name))  # equal files fail for the same reason
            for same in names.values()
            if same[0] in failed
            for name in same
        ]
        tell()
    summary.cancelled = done() < len(items)
    summary.seconds = time.perf_counter() - start
    spectra = store.rows(config, dataset).spectra
    if len(spectra):
        settle_rank(encoder, output, spectra, store)
    return summary


def _missing(
    store: Store, config: ResultConfig, dataset: str, block: Sequence[Item], summary: RunSummary
) -> tuple[dict[str, list[str]], list[tuple[str, str, bytes]]]:
    """Read a block and record its images as members.

    Returns the names of the images without a result, by digest, and one (name, digest, bytes) for each such digest.
    """
    read: list[tuple[Item, str, bytes]] = []
    for item in block:
        try:
            data = item.read()
        except JepaError as error:
            summary.failed.append((item.name, str(error)))
            store.forget_members(dataset, [item.name])
        else:
            read.append((item, images.digest(data), data))
    store.put_members(dataset, [Member(item.name, item.position, item.label, digest) for item, digest, _data in read])
    known = store.done(config, [digest for _item, digest, _data in read])
    names: dict[str, list[str]] = {}
    missing: list[tuple[str, str, bytes]] = []
    for item, digest, data in read:
        if digest in known:
            summary.reused += 1
            continue
        if digest not in names:
            missing.append((item.name, digest, data))
        names.setdefault(digest, []).append(item.name)
    return names, missing


def known_rank(spec: EncoderSpec, output: str, store: Store) -> Rank | None:
    """The rank that the card or the store records, or None before the first images are scored."""
    return spec.ranks.get(output) or store.rank(config_of(spec, output).space)


def current_rank(spec: EncoderSpec, output: str, store: Store) -> Rank:
    """`known_rank`, or all K while too few images are scored to tell."""
    return known_rank(spec, output, store) or Rank(
        spec.outputs[output], f"not settled before {spectrum.CALIBRATION_IMAGES} images are scored"
    )


def settle_rank(encoder: "Encoder", output: str, spectra: ndarray, store: Store | None = None) -> Rank:
    """The rank of an output: as recorded, else decided from these spectra (n, K) and, with enough of them, recorded."""
    import torch

    from jepa_core import rank

    space = loaded_config(encoder, output).space
    recorded = encoder.spec.ranks.get(output) or (store.rank(space) if store else None)
    if recorded:
        return recorded
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(2, *encoder.input_shape, generator=generator).to(encoder.device)
    allowed = rank.architectural_rank(encoder.module(output), probe)
    decided = spectrum.decide_rank(allowed, spectra[: spectrum.CALIBRATION_IMAGES])
    enough = len(spectra) >= spectrum.CALIBRATION_IMAGES
    return store.put_rank(space, decided) if store and enough else decided


def score_table(rows: Rows, rank: Rank) -> pd.DataFrame:
    """Scores derived from stored rows: one line an image, in the order of the dataset.

    Columns: name, label, digest, jepa_score (Eq. 5), listing_score, gaussian_score, squared_norm, seconds, device, and
    rank_disagrees (True where the spectrum does not have the encoder's rank).
    """
    spectra = rows.spectra if rows.members else np.ones((0, rank.rank), dtype=np.float32)
    return pd.DataFrame(
        {
            "name": [member.name for member in rows.members],
            "label": [member.label for member in rows.members],
            "position": [member.position for member in rows.members],
            "digest": [member.digest for member in rows.members],
            "jepa_score": spectrum.jepa_score(spectra, rank.rank),
            "listing_score": spectrum.listing_score(spectra),
            "gaussian_score": spectrum.gaussian_score(spectra, rank.rank, rows.squared_norm),
            "squared_norm": rows.squared_norm,
            "seconds": rows.seconds,
            "device": rows.device,
            "rank_disagrees": spectrum.disagrees(spectra, rank.rank),
        }
    )


def stored_scores(store: Store, spec: EncoderSpec, output: str, dataset: str) -> pd.DataFrame:
    """`score_table` of what the store holds for a dataset; empty before anything is scored. Loads no encoder."""
    return score_table(store.rows(config_of(spec, output), dataset), current_rank(spec, output, store))


def score_images(
    pictures: Iterable[str | Path | bytes | Image.Image], encoder: "Encoder | str" = "digits", output: str | None = None
) -> pd.DataFrame:
    """Score pictures given as paths, bytes or PIL images; nothing is stored.

    Returns the columns of `score_table`, one line a picture in the order given.

    Raises:
        BadImage: for a picture that cannot be read; `JepaError` for an unknown encoder or output.

    Example:
        from jepa_core import score_images
        score_images(["a.png", "b.jpg"], encoder="digits")
    """
    if isinstance(encoder, str):
        from jepa_core.encoders import load_encoder

        encoder = load_encoder(encoder)
    output = encoder.spec.check_output(output)
    named = [_named_bytes(position, picture) for position, picture in enumerate(pictures)]
    results: dict[str, Result] = {}
    unique = {digest: (name, digest, data) for name, digest, data in named}
    failed = score_pictures(
        encoder, output, list(unique.values()), lambda batch: results.update({r.digest: r for r in batch})
    )
    if failed:
        raise JepaError(failed[0][1])
    return table_of(encoder, output, [(name, results[digest]) for name, digest, _data in named])


def table_of(
    encoder: "Encoder", output: str, named: Sequence[tuple[str, Result]], rank: Rank | None = None
) -> pd.DataFrame:
    """`score_table` of results that belong to no dataset, such as uploads.

    `rank` is the one that the scores they are compared with were made with; where there are none, it is decided here.
    """
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
    return score_table(rows, rank or settle_rank(encoder, output, rows.spectra))


def _named_bytes(position: int, picture: str | Path | bytes | Image.Image) -> tuple[str, str, bytes]:
    match picture:
        case bytes():
            name, data = f"picture {position}", picture
        case Image.Image():
            name, data = f"picture {position}", images.encode_ppm(np.asarray(picture.convert("RGB")))
        case _:
            name = str(picture)
            try:
                data = Path(picture).read_bytes()
            except OSError as error:
                raise images.BadImage(
                    f"{name} cannot be read ({error.strerror}); give the path of an image file."
                ) from error
    return name, images.digest(data), data

"""Recompute a random part of the shipped scores and compare, or make the shipped tables again.

CPUs and libraries round float32 differently, so equality is asked up to `TOLERANCE` for each log singular value up to
the rank, and for the embedding. A wrong picture, weight, transform or formula differs by far more.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jepa_core import images
from jepa_core.datasets import registry
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.encoders.encoder import Encoder
from jepa_core.encoders.registry import load_encoder
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import StoreError
from jepa_core.scoring.batches import exact_work
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.forward_pass import look_at_missing
from jepa_core.scoring.looks import sizes_space
from jepa_core.scoring.run import ScoringRun
from jepa_core.store import shipped as store_shipped
from jepa_core.store.records import Result
from jepa_core.store.results import Store

TOLERANCE = 1e-2
"""Largest accepted difference of a log singular value, and of an embedding as a share of its length."""


@dataclass(frozen=True)
class Check:
    """The comparison for one shipped table. Differences are the largest over the images checked."""

    encoder: str
    output: str
    rows: int
    checked: int
    log_sigma_difference: float
    score_difference: float
    embedding_difference: float  # as a share of the embedding's length; also that of the squared norm
    other_pictures: int  # images whose bytes are not those that were scored

    @property
    def passed(self) -> bool:
        """Whether all pictures were the same and all values within the tolerance."""
        within = self.log_sigma_difference <= TOLERANCE and self.embedding_difference <= TOLERANCE
        return self.checked > 0 and not self.other_pictures and within


def verify_table(
    encoder: Encoder, output: str, count: int, seed: int, pictures: Mapping[str, DatasetSpec] | None = None
) -> Check:
    """Recompute `count` random rows of the shipped table of an encoder's output and compare.

    Rows of listed datasets are among them where `pictures` has the dataset with its pictures.
    """
    import torch

    scored = EncoderOutput.of(encoder, output)
    path = store_shipped.shipped_path(encoder.spec, output)
    shipped = store_shipped.read_shipped(path)
    if shipped.config != scored.config():
        raise StoreError(
            f"The score table {path.name} was made with other weights or another transform than encoder "
            f"{encoder.spec.name!r} has now; make it again with 'python -m jepa_core verify --write'."
        )
    given = pictures or {}
    sets = {name: given.get(name) or registry.get_dataset(name) for name in {name for name, _member in shipped.members}}
    at_hand = {name for name, spec in sets.items() if name in given or not spec.listed}
    able = [index for index, (dataset, _member) in enumerate(shipped.members) if dataset in at_hand]
    chosen = np.random.default_rng(seed).permutation(able)[:count]
    inputs, old, other = [], [], 0
    for index in chosen:
        dataset, member = shipped.members[index]
        data = sets[dataset].item(member.position).read()
        if images.digest(data) != member.digest:
            other += 1
            continue
        inputs.append(encoder.preprocess(images.decode(data).image))
        old.append(shipped.results[index])
    differences = np.zeros((1, 3))
    if inputs:
        digests = [result.digest for result in old]
        fresh = exact_work(scored).results(digests, torch.stack(inputs))
        rank = scored.rank.rank
        differences = np.array([_differences(then, now, rank) for then, now in zip(old, fresh, strict=True)])
    # NumPy's maximum, unlike Python's, does not pass over a NaN.
    log_sigma, score, moved = differences.max(axis=0).tolist()
    return Check(encoder.spec.name, output, len(shipped.results), len(inputs), log_sigma, score, moved, other)


def _differences(then: Result, now: object, rank: int) -> tuple[float, float, float]:
    """The differences that `Check` has, for one image. Values that are no numbers differ infinitely."""
    if not isinstance(now, Result) or not (then.spectrum[:rank] > 0).all():
        return np.inf, np.inf, np.inf
    logs = np.log(then.spectrum[:rank].astype(np.float64)) - np.log(now.spectrum[:rank].astype(np.float64))
    length = np.sqrt(now.squared_norm)
    moved = max(
        np.linalg.norm(then.embedding.astype(np.float64) - now.embedding) / length,
        abs(then.squared_norm - now.squared_norm) / now.squared_norm,
    )
    return float(np.abs(logs).max()), float(abs(logs.sum())), float(moved)


def write_tables(
    store: Store,
    encoder: Encoder,
    output: str,
    sets: Sequence[DatasetSpec],
    progress_of: Callable[[str], Callable[[int, int], None]],
) -> tuple[int, list[str]]:
    """Score datasets with an output of an encoder and write its shipped table.

    Of a listed dataset without pictures the table keeps the scores that the store has. `progress_of` makes a progress
    callable (done, total) for a title. Returns the number of rows, and the names of datasets with images left out.
    """
    scored, incomplete = EncoderOutput.of(encoder, output), []
    for dataset in sets:
        title = f"{encoder.spec.name}, {output}, {dataset.name}"
        run = ScoringRun(store, scored, dataset.name, list(dataset.items()), progress=progress_of(title))
        summary = run.score()
        if summary.failed or look_at_missing(run).failed:
            incomplete.append(dataset.name)
    path = store_shipped.shipped_path(encoder.spec, output)
    names = [dataset.name for dataset in sets]
    return store_shipped.ship(store, scored.config(), names, path, sizes_space(scored)), incomplete


def shipped_sets(spec: EncoderSpec, pictures: Mapping[str, DatasetSpec]) -> list[DatasetSpec]:
    """What the tables of an encoder hold: its own training set, and every dataset that is not one.

    `pictures` has the listed datasets whose pictures are at hand.
    """
    sets = {**registry.list_datasets(), **pictures}.values()
    return [dataset for dataset in sets if dataset.held_out or dataset.name == spec.training]


def verify_all(
    names: Sequence[str],
    count: int,
    seed: int,
    device: str | None = None,
    pictures: Mapping[str, DatasetSpec] | None = None,
) -> list[Check]:
    """`verify_table` for every output of the named encoders that ships a table."""
    checks = []
    for name in names:
        encoder = load_encoder(name, device)
        checks += [
            verify_table(encoder, output, count, seed, pictures)
            for output in encoder.spec.outputs
            if store_shipped.shipped_path(encoder.spec, output).exists()
        ]
    return checks

"""The store of a person who used version 0.1 opens, and what was scored then is found and not scored again.

`version_0_1.sqlite.gz` was made by the code of 27 November 2026 (commit 63c4c06): a `Store` into which `score_items`
scored the first six pictures of digits-validation with the encoder digits and its projector, in float32.
"""

import gzip
from pathlib import Path

import pytest

from jepa_core.datasets.registry import get_dataset
from jepa_core.encoders.registry import load_encoder
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.run import ScoringRun
from jepa_core.scoring.score_images import score_images
from jepa_core.scoring.stored import stored_scores
from jepa_core.store.results import Store

COUNT = 6


@pytest.fixture
def store(tmp_path: Path) -> Store:
    path = tmp_path / "store.sqlite"
    path.write_bytes(gzip.decompress((Path(__file__).parent / "version_0_1.sqlite.gz").read_bytes()))
    return Store(path)


def test_scores_of_the_last_version_are_found_and_are_those_of_today(store: Store) -> None:
    dataset = get_dataset("digits-validation")
    items = [dataset.item(position) for position in range(COUNT)]
    encoder = load_encoder("digits", "cpu")
    output = EncoderOutput.of(encoder, "projector")
    summary = ScoringRun(store, output, dataset.name, items).score()
    assert (summary.scored, summary.reused, summary.failed) == (0, COUNT, [])
    kept = stored_scores(store, output, dataset.name)
    today = score_images([item.read() for item in items], encoder, "projector")
    assert kept["name"].tolist() == [item.name for item in items]
    assert kept["jepa_score"].to_numpy() == pytest.approx(today["jepa_score"].to_numpy(), abs=1e-3)
    assert kept["jepa_score"].nunique() == COUNT

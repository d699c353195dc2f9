"""The evidence for a picture that is in no dataset."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from jepa_core import check, images, jacobian
from jepa_core.datasets import get_dataset, sample
from jepa_core.errors import JepaError, NotEnoughData
from jepa_core.reference import percentile
from jepa_core.scoring import loaded_config, score_images, score_items
from jepa_core.spectrum import Rank, jepa_score, singular_values
from jepa_core.store import Store
from tests.helpers import picture, png

# --- check ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def reference(store, tiny) -> check.Reference:
    score_items(store, tiny, "digits-test", sample(get_dataset("digits-test"), 40, seed=0), whole=False)
    return check.load_reference(store, tiny.spec, "projector", "digits-test")


def test_a_picture_is_placed_among_the_references_scores_and_distances(tiny, reference):
    outcome = check.check_pictures(tiny, "projector", [("noise.png", png(0)), ("more.png", png(1))], reference)
    assert [item.name for item in outcome.checked] == ["noise.png", "more.png"]
    assert outcome.failed == []
    item = outcome.checked[0]
    alone = score_images([png(0)], tiny)
    assert item.scores["jepa_score"] == pytest.approx(alone["jepa_score"][0], abs=1e-4)
    assert item.percentile == percentile(np.array([item.scores["jepa_score"]]), reference.scores)[0]
    embedding = tiny.module()(tiny.preprocess(picture(0))[None])[0].numpy()
    distances = np.sort(np.linalg.norm(reference.embeddings - embedding, axis=1))
    assert item.distance == pytest.approx(distances[9], rel=1e-4)
    assert item.distance_percentile == percentile(np.array([item.distance]), reference.distances)[0]
    assert item.crop.size == (16, 16)


def test_the_references_own_distances_leave_out_each_image_itself(reference):
    pairs = np.linalg.norm(reference.embeddings[:, None] - reference.embeddings[None], axis=2)
    assert np.allclose(np.sort(pairs, axis=1)[:, 10], reference.distances, rtol=1e-4, atol=1e-4)


def test_the_nearest_of_both_ends_are_shown(tiny, reference):
    (item,) = check.check_pictures(tiny, "projector", [("noise.png", png(0))], reference).checked
    low, high = np.quantile(reference.scores, [0.25, 0.75])
    assert len(item.likely) == len(item.unlikely) == 3
    assert (item.likely["jepa_score"] >= high).all()
    assert (item.unlikely["jepa_score"] <= low).all()
    assert item.likely["distance"].is_monotonic_increasing
    embedding = tiny.module()(tiny.preprocess(picture(0))[None])[0].numpy()
    distances = np.linalg.norm(reference.embeddings - embedding, axis=1)
    assert item.likely["distance"].iloc[0] == pytest.approx(distances[reference.scores >= high].min(), rel=1e-4)


def test_a_bad_picture_among_good_ones_is_told_and_the_good_are_checked(tiny, reference):
    named = [("one.png", png(0)), ("letter.txt", b"Dear Sir"), ("two.png", png(1))]
    outcome = check.check_pictures(tiny, "projector", named, reference)
    assert [item.name for item in outcome.checked] == ["one.png", "two.png"]
    assert [name for name, _sentence in outcome.failed] == ["letter.txt"]
    check.fail_if_nothing(outcome)
    assert check.outcome_table(outcome)["name"].tolist() == ["one.png", "two.png"]


def test_only_bad_pictures_are_a_failure(tiny, reference):
    outcome = check.check_pictures(tiny, "projector", [("letter.txt", b"Dear Sir")], reference)
    with pytest.raises(JepaError, match=r"^letter\.txt is not an image"):
        check.fail_if_nothing(outcome)


def test_what_was_done_to_a_picture_is_told(tiny, reference):
    see_through = images.to_png(Image.new("RGBA", (20, 20), (255, 0, 0, 128)))
    (item,) = check.check_pictures(tiny, "projector", [("pane.png", see_through)], reference).checked
    assert item.notes == ("Its transparent parts were laid on white.",)
    table = check.outcome_table(check.Outcome([item], []))
    assert table["notes"].tolist() == ["Its transparent parts were laid on white."]


def test_the_same_picture_twice_is_answered_twice(tiny, reference):
    outcome = check.check_pictures(tiny, "projector", [("a.png", png(0)), ("b.png", png(0))], reference)
    first, second = outcome.checked
    assert (first.name, second.name) == ("a.png", "b.png")
    assert first.percentile == second.percentile


def test_a_picture_is_scored_with_the_rank_of_its_reference(store, tiny, reference):
    low = Store(store.path.with_name("low.sqlite"))
    low.put_rank(loaded_config(tiny).space, Rank(10, "for this test"))
    score_items(low, tiny, "digits-test", sample(get_dataset("digits-test"), 40, seed=0))
    (item,) = check.check_pictures(
        tiny, "projector", [("a.png", png(0))], check.load_reference(low, tiny.spec, "projector", "digits-test")
    ).checked
    sigma = singular_values(jacobian.engine_of(tiny).gram(tiny.preprocess(picture(0))[None]).gram.numpy())
    assert item.scores["jepa_score"] == pytest.approx(jepa_score(sigma, 10)[0], abs=1e-4)
    assert len(reference.table) == 40


def test_a_reference_with_too_few_scores_is_told_with_the_command_that_helps(store, tiny):
    with pytest.raises(
        NotEnoughData,
        match=r"'shapes' has 0 scored images; more than 10 are needed; run 'python -m jepa_core score "
        r"--encoder tiny --output projector --data shapes' first",
    ):
        check.load_reference(store, tiny.spec, "projector", "shapes")


@pytest.mark.parametrize(
    ("score", "distance", "sentence"),
    [
        (
            2.0,
            50.0,
            "Less likely than 98 % of the 40 reference images; farther from them in the embedding than 50 % of them "
            "are from each other. Reasons to look twice: an unusually low score.",
        ),
        (
            60.0,
            10.0,
            "More likely than 60 % of the 40 reference images; farther from them in the embedding than 10 % of them "
            "are from each other. Neither is unusual.",
        ),
        (
            97.0,
            99.0,
            "More likely than 97 % of the 40 reference images; farther from them in the embedding than 99 % of them "
            "are from each other. Reasons to look twice: an unusually high score, which foreign images can have too; "
            "an unusually large distance.",
        ),
    ],
)
def test_the_evidence_in_words(tiny, reference, score, distance, sentence):
    (item,) = check.check_pictures(tiny, "projector", [("a.png", png(0))], reference).checked
    assert check.in_words(replace(item, percentile=score, distance_percentile=distance), reference) == sentence

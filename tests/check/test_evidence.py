"""The evidence for a picture that is in no dataset."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from jepa_core import images
from jepa_core.analysis.methods import COMPARED
from jepa_core.check import disturbances, evidence
from jepa_core.check.combined import WEIGHTS
from jepa_core.check.known_set import KnownSet, load_complete, load_known
from jepa_core.check.verdict import VerdictKind, verdict
from jepa_core.confounds import image_stats, visible
from jepa_core.datasets.disturbances import disturb
from jepa_core.datasets.registry import get_dataset, sample
from jepa_core.detectors.knn import KNN
from jepa_core.errors import JepaError, NotEnoughData, UnknownName
from jepa_core.jacobian import engine
from jepa_core.jacobian.spectrum import Rank, jepa_score, singular_values
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod
from jepa_core.scoring.run import ScoringRun
from jepa_core.scoring.score_images import score_images
from jepa_core.stats.conformal import adjusted, percentile
from jepa_core.store.results import Store
from tests.helpers import picture, png, score

# --- check ------------------------------------------------------------------------------------------------------------


def score_some(store, tiny, name: str, count: int) -> None:
    score(store, tiny, name, sample(get_dataset(name), count, seed=0), whole=False)


@pytest.fixture
def known(store, tiny) -> KnownSet:
    score_some(store, tiny, "digits-test", 40)
    score_some(store, tiny, "digits-train", 12)
    return load_known(store, EncoderOutput(tiny.spec, "projector"), "digits-test")


def embedding_of(tiny, store, name: str) -> np.ndarray:
    digests = [member.digest for member in store.members(name)]
    return store.embeddings(EncoderOutput.of(tiny.spec, "projector").space, digests)


def test_a_picture_is_placed_among_the_known_scores_and_distances_to_training_images(store, tiny, known):
    outcome = evidence.check_pictures(
        EncoderOutput.of(tiny, "projector"), [("noise.png", png(0)), ("more.png", png(1))], known
    )
    assert [item.name for item in outcome.checked] == ["noise.png", "more.png"]
    assert outcome.failed == []
    item = outcome.checked[0]
    alone = score_images([png(0)], tiny)
    assert item.scores["jepa_score"] == pytest.approx(alone["jepa_score"][0], abs=1e-4)
    assert item.places["jepa"].percentile == percentile(np.array([item.scores["jepa_score"]]), known.scores)[0]
    detector = KNN().fit(embedding_of(tiny, store, "digits-train"))
    embedding = tiny.module()(tiny.preprocess(picture(0))[None]).numpy()
    assert -item.places["knn"].score == pytest.approx(detector.score(embedding)[0], rel=1e-4)
    own = detector.score(embedding_of(tiny, store, "digits-test"))
    distance = percentile(-np.array([item.places["knn"].score]), own)[0]
    assert item.places["knn"].percentile == pytest.approx(100 - distance)
    assert set(item.places) == set(COMPARED)
    assert {place.size for place in item.places.values()} == {40}
    assert known.fitted_on == "the 12 images of digits-train"
    assert item.crop.size == (16, 16)


@pytest.mark.parametrize("training", ["", "digits-train", "digits-test"])
def test_without_other_training_images_one_half_is_fitted_on_and_the_other_is_judged(store, tiny, training):
    score_some(store, tiny, "digits-test", 41)
    spec = replace(tiny.spec, training=training)  # none, none with scores, and the known set itself
    known = load_known(store, EncoderOutput(spec, "projector"), "digits-test")
    digests = known.domain.table["digest"].tolist()
    assert len(known.fitted.seen) == 21
    assert known.fitted.seen == set(sorted(digests)[:21])
    assert known.fitted_on == "21 images of digits-test that were set aside for that"
    sizes = {method: reference.scores.size for method, reference in known.references.items()}
    assert {method: size for method, size in sizes.items() if size == 41} == {"jepa": 41, "gaussian": 41, "norm": 41}
    assert set(sizes.values()) == {41, 20}


def test_a_picture_that_was_fitted_on_is_not_judged_by_its_distance(tiny, known):
    seen = next(item for item in get_dataset("digits-train").items() if item.digest in known.fitted.seen)
    (item,) = evidence.check_pictures(EncoderOutput.of(tiny, "projector"), [("seen.ppm", seen.read())], known).checked
    assert set(item.places) == {"jepa", "gaussian", "norm"}
    assert "How far it lies from known images cannot be said" in " ".join(item.verdict.sentences)
    assert evidence.outcome_table(evidence.Outcome([item], []))["knn"].isna().all()


def test_a_picture_is_held_against_one_class(store, tiny):
    score_some(store, tiny, "digits-test", 360)
    whole = load_known(store, EncoderOutput(tiny.spec, "projector"), "digits-test")
    threes = load_known(store, EncoderOutput(tiny.spec, "projector"), "digits-test", label="3")
    table = whole.domain.table
    assert sorted(threes.scores) == sorted(table.loc[table["label"] == "3", "jepa_score"])
    (item,) = evidence.check_pictures(EncoderOutput.of(tiny, "projector"), [("a.png", png(0))], threes).checked
    assert item.places["jepa"].size == len(threes.scores) == (table["label"] == "3").sum()
    assert item.likely["label"].tolist() == ["3"] * 3
    assert threes.references["jepa"].name == "digits-test, class 3"


def test_a_class_that_is_too_small_is_refused_and_one_that_is_not_there_is_named(store, tiny):
    score_some(store, tiny, "digits-test", 60)
    with pytest.raises(NotEnoughData, match=r"'digits-test, class 3' has \d scored images, too few .* at least 19 are"):
        load_known(store, EncoderOutput(tiny.spec, "projector"), "digits-test", label="3")
    with pytest.raises(UnknownName, match=r"Unknown class of the reference 'digits-test': 'cat'. Must be one of: 0, 1"):
        load_known(store, EncoderOutput(tiny.spec, "projector"), "digits-test", label="cat")


def test_p_values_stand_in_the_table_and_are_adjusted_for_all_pictures_at_once(tiny, known):
    named = [(f"{seed}.png", png(seed)) for seed in range(3)]
    outcome = evidence.check_pictures(EncoderOutput.of(tiny, "projector"), named, known)
    table = evidence.outcome_table(outcome)
    p = known.references["jepa"].p_lower(table["jepa_score"].to_numpy())
    assert table["p_unlikely"].tolist() == p.tolist()
    assert table["p_unlikely_adjusted"].tolist() == adjusted(p).tolist()
    assert table["p_untypical"].tolist() == [item.places["jepa"].p_two_sided for item in outcome.checked]
    assert (table["percentile_low"] <= table["percentile"]).all()
    assert (table["percentile"] <= table["percentile_high"]).all()
    assert table["norm_p"].tolist() == [item.places["norm"].p_lower for item in outcome.checked]
    assert table["norm"].to_numpy() == pytest.approx(np.sqrt([item.scores["squared_norm"] for item in outcome.checked]))


def test_the_nearest_of_both_ends_are_shown(tiny, known):
    (item,) = evidence.check_pictures(EncoderOutput.of(tiny, "projector"), [("noise.png", png(0))], known).checked
    low, high = np.quantile(known.scores, [0.25, 0.75])
    assert len(item.likely) == len(item.unlikely) == 3
    assert (item.likely["jepa_score"] >= high).all()
    assert (item.unlikely["jepa_score"] <= low).all()
    assert item.likely["distance"].is_monotonic_increasing
    embedding = tiny.module()(tiny.preprocess(picture(0))[None])[0].numpy()
    distances = np.linalg.norm(known.domain.embeddings - embedding, axis=1)
    assert item.likely["distance"].iloc[0] == pytest.approx(distances[known.scores >= high].min(), rel=1e-4)


def test_a_bad_picture_among_good_ones_is_told_and_the_good_are_checked(tiny, known):
    named = [("one.png", png(0)), ("letter.txt", b"Dear Sir"), ("two.png", png(1))]
    outcome = evidence.check_pictures(EncoderOutput.of(tiny, "projector"), named, known)
    assert [item.name for item in outcome.checked] == ["one.png", "two.png"]
    assert [name for name, _sentence in outcome.failed] == ["letter.txt"]
    evidence.fail_if_nothing(outcome)
    assert evidence.outcome_table(outcome)["name"].tolist() == ["one.png", "two.png"]


def test_only_bad_pictures_are_a_failure(tiny, known):
    outcome = evidence.check_pictures(EncoderOutput.of(tiny, "projector"), [("letter.txt", b"Dear Sir")], known)
    with pytest.raises(JepaError, match=r"^letter\.txt is not an image"):
        evidence.fail_if_nothing(outcome)


def test_what_was_done_to_a_picture_is_told(tiny, known):
    see_through = images.to_png(Image.new("RGBA", (20, 20), (255, 0, 0, 128)))
    (item,) = evidence.check_pictures(EncoderOutput.of(tiny, "projector"), [("pane.png", see_through)], known).checked
    assert item.notes == ("Its transparent parts were laid on white.",)
    table = evidence.outcome_table(evidence.Outcome([item], []))
    assert table["notes"].tolist() == ["Its transparent parts were laid on white."]


def test_the_same_picture_twice_is_answered_twice(tiny, known):
    outcome = evidence.check_pictures(
        EncoderOutput.of(tiny, "projector"), [("a.png", png(0)), ("b.png", png(0))], known
    )
    first, second = outcome.checked
    assert (first.name, second.name) == ("a.png", "b.png")
    assert first.places == second.places


def test_a_picture_is_scored_with_the_rank_of_the_known_set_whatever_a_store_of_the_last_version_has(store, tiny):
    low = Store(store.path.with_name("low.sqlite"))
    low.put_rank(EncoderOutput.of(tiny).space, Rank(10, "but 8 calibration images show 10 above rounding noise"))
    score(low, tiny, "digits-test", sample(get_dataset("digits-test"), 40, seed=0))
    known = load_known(low, EncoderOutput(tiny.spec, "projector"), "digits-test")
    (item,) = evidence.check_pictures(EncoderOutput.of(tiny, "projector"), [("a.png", png(0))], known).checked
    sigma = singular_values(engine.engine_of(tiny).gram(tiny.preprocess(picture(0))[None]).gram.numpy())
    assert item.scores["jepa_score"] == pytest.approx(jepa_score(sigma, 16)[0], abs=1e-4)
    spectra = low.rows(EncoderOutput.of(tiny).config(), "digits-test").spectra
    assert np.allclose(known.domain.table["jepa_score"], jepa_score(spectra, 16))


def test_a_reference_with_too_few_scores_is_told_with_the_command_that_helps(store, tiny):
    with pytest.raises(
        NotEnoughData,
        match=r"'shapes' has 0 scored images; at least 19 are needed; run 'python -m jepa_core score "
        r"--encoder tiny --output projector --data shapes' first",
    ):
        load_known(store, EncoderOutput(tiny.spec, "projector"), "shapes")


def test_a_verdict_is_given_and_stands_in_the_table(tiny, known):
    outcome = evidence.check_pictures(EncoderOutput.of(tiny, "projector"), [("a.png", png(0))], known)
    (item,) = outcome.checked
    assert item.verdict == verdict(item.findings)
    combined = item.findings.combined
    assert set(combined.by_method) == {"joint", "spectrum_knn", "likely", "unlikely"}  # nothing else is known of them
    line = evidence.outcome_table(outcome).iloc[0]
    assert (line["verdict"], line["headline"]) == (str(item.verdict.kind), item.verdict.headline)
    assert (line["p"], line["p_adjusted"]) == (combined.p, combined.p)
    assert line["evidence"] == " ".join(item.verdict.sentences)


def test_a_first_look_says_where_a_picture_lies_and_the_score_follows(store, tiny):
    score_some(store, tiny, "digits-test", 60)
    output = EncoderOutput.of(tiny, "projector")
    known = load_complete(store, output, get_dataset("digits-test"))
    (first,) = evidence.check_pictures(output, [("a.png", png(0))], known, scores=False).checked
    (then,) = evidence.check_pictures(output, [("a.png", png(0))], known).checked
    assert "jepa" not in first.places
    assert "Its score is not there yet." in first.verdict.sentences
    assert {"joint", "knn", "visible"} <= set(first.places)
    for name in ("joint", "knn", "visible"):
        assert first.places[name].score == pytest.approx(then.places[name].score, rel=1e-4)
    assert first.findings.combined.by_method["joint"] == then.findings.combined.by_method["joint"]
    assert first.findings.combined.by_method["unlikely"] == 1.0 > then.findings.combined.by_method["unlikely"]
    assert first.findings.reasons == then.findings.reasons
    table = evidence.outcome_table(evidence.Outcome([first], []))
    assert table["percentile"].isna().all()
    assert table["verdict"].tolist() == [str(first.verdict.kind)]


def test_a_disturbed_reference_is_told_from_a_foreign_picture(store, tiny):
    score_some(store, tiny, "digits-test", 200)
    score_some(store, tiny, "digits-train", 240)
    output = EncoderOutput.of(tiny, "projector")
    known = load_complete(store, output, get_dataset("digits-test"))
    spare = [images.decode(item.read()).image for item in sample(get_dataset("digits-validation"), 20, seed=0)]
    rng = np.random.default_rng(0)
    darkened = [(str(place), images.to_png(disturb("dark", one, rng))) for place, one in enumerate(spare)]
    found = evidence.check_pictures(output, darkened, known, scores=False).checked
    kinds = [item.verdict.kind for item in found]
    assert kinds.count(VerdictKind.DISTURBED) > 12
    assert kinds.count(VerdictKind.OUT_OF_DISTRIBUTION) < 5
    called = [item.verdict.headline for item in found if item.verdict.kind is VerdictKind.DISTURBED]
    assert called.count("It looks like one of them made darker.") > 0.8 * len(called)
    foreign = [(item.name, item.read()) for item in sample(get_dataset("world-test"), 20, seed=0)]
    kinds = [item.verdict.kind for item in evidence.check_pictures(output, foreign, known, scores=False).checked]
    assert kinds.count(VerdictKind.OUT_OF_DISTRIBUTION) > 16


@pytest.mark.usefixtures("known")
def test_what_is_known_of_a_reference_is_taken_once(store, tiny, monkeypatch):
    output, dataset = EncoderOutput.of(tiny, "projector"), get_dataset("digits-test")
    first = load_complete(store, output, dataset)
    assert set(first.test.methods) == set(WEIGHTS) - {"disturbed"}  # twelve images are too few for that
    for module, name in ((visible, "measured"), (image_stats, "measured_crop"), (disturbances, "make")):
        monkeypatch.setattr(module, name, lambda *_given: pytest.fail("done again"))
    again = load_complete(store, output, dataset)
    for name, reference in first.references.items():
        assert np.array_equal(reference.scores, again.references[name].scores)
    assert len(again.measured) == 40
    monkeypatch.undo()
    (item,) = evidence.check_pictures(output, [("a.png", png(0))], again).checked
    assert item.complexity is not None
    table = evidence.percentiles_table(item).set_index("method")
    line = table.loc["10-NN distance"]
    assert line["percentile"] == 100 - item.places["knn"].percentile
    assert line["low"] <= line["percentile"] <= line["high"]
    assert table.loc["10-NN, visible", "raised"] in (True, False)
    assert table.loc["10-NN distance", "raised"] is None


@pytest.mark.usefixtures("known")
def test_of_a_reference_without_pictures_nothing_is_measured(store, tiny):
    listed = replace(get_dataset("digits-test"), digest_of=lambda _position: "", at_hand=False)
    found = load_complete(store, EncoderOutput(replace(tiny.spec, training=""), "projector"), listed)
    assert "visible" not in found.references
    assert found.measured is None


def test_a_picture_that_is_a_reference_itself_is_told(tiny, known):
    member = next(
        item for item in get_dataset("digits-test").items() if item.digest in set(known.domain.table["digest"])
    )
    (item,) = evidence.check_pictures(EncoderOutput.of(tiny, "projector"), [("a.ppm", member.read())], known).checked
    assert item.notes == ("It is one of the references itself, so the p-values promise nothing for it.",)


def test_percentiles_of_distances_are_turned_so_that_far_is_high(tiny, known):
    outcome = evidence.check_pictures(EncoderOutput.of(tiny, "projector"), [("a", png(0))], known)
    [item] = outcome.checked
    line = evidence.outcome_table(outcome).iloc[0]
    table = evidence.percentiles_table(item)
    for name, place in item.places.items():
        row = table.iloc[list(item.places).index(name)]
        turned = name not in (*evidence.VARIANTS, "residual")
        expected = [place.percentile, place.low, place.high]
        if turned:
            expected = [100 - place.percentile, 100 - place.high, 100 - place.low]
        assert row[["percentile", "low", "high"]].tolist() == pytest.approx(expected)
        assert 0 <= row["low"] <= row["percentile"] <= row["high"] <= 100
        if name in evidence.DETECTORS and name != "residual":
            assert line[f"{name}_percentile"] == pytest.approx(expected[0])
            assert line[f"{name}_p"] == place.p_lower


def test_pictures_of_estimated_references_are_measured_too(store, tiny):
    items = sample(get_dataset("digits-test"), 120, seed=0)
    method, output = ScoringMethod.named("quick"), EncoderOutput.of(tiny, "projector")
    ScoringRun(store, output, "digits-test", items, method, whole=False).score()
    known = load_complete(store, output, get_dataset("digits-test"), method)
    assert known.domain.table["estimated"].any()
    assert not np.isnan(known.domain.fingerprints("visible")).any()
    assert {"joint", "visible"} <= set(known.test.methods)

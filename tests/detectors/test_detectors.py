"""Detectors on fingerprints, one by one, and the list of methods that all parts of the project judge by."""

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import LedoitWolf

from jepa_core import detectors
from jepa_core.analysis import methods
from jepa_core.analysis.methods import Domain, FittedMethods
from jepa_core.detectors import DETECTORS
from jepa_core.detectors.knn import KNN
from jepa_core.detectors.mahalanobis import Mahalanobis
from jepa_core.detectors.norm import EmbeddingNorm
from jepa_core.detectors.residual import Residual
from jepa_core.detectors.standardised import RIDGE
from jepa_core.errors import NotEnoughData
from jepa_core.jacobian.score_variants import VARIANTS
from jepa_core.stats.neighbors import nearest

RNG = np.random.default_rng(0)

# --- distances --------------------------------------------------------------------------------------------------------


def test_nearest_neighbours_are_those_of_the_full_distance_table():
    queries, references = RNG.normal(size=(5, 3)), RNG.normal(size=(20, 3))
    table = np.linalg.norm(queries[:, None] - references[None], axis=2)
    distances, indices = nearest(queries, references, 4)
    assert (indices == np.argsort(table, axis=1)[:, :4]).all()
    assert np.allclose(distances, np.sort(table, axis=1)[:, :4])


def test_asking_for_more_neighbours_than_there_are_gives_all():
    assert nearest(np.zeros((1, 2)), np.ones((3, 2)), 10)[0].shape == (1, 3)


def test_knn_scores_the_distance_to_the_kth_training_embedding():
    training = np.array([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]])
    assert KNN(k=2).fit(training).score(np.array([[0.0, 0.0], [6.0, 0.0]])).tolist() == [1.0, 5.0]


def test_knn_needs_k_embeddings():
    with pytest.raises(NotEnoughData, match=r"10-nearest-neighbours was .* 9 images.*; at least 10 are needed"):
        KNN().fit(np.zeros((9, 2)))


def test_mahalanobis_counts_standard_deviations_of_the_training_embeddings():
    spread = np.array([5.0, 0.5])
    training = RNG.normal(size=(20_000, 2)) * spread + [3.0, -1.0]
    judged = np.array([[3.0, -1.0], [13.0, -1.0], [3.0, 0.0]])
    assert Mahalanobis().fit(training).score(judged) == pytest.approx([0.0, 2.0, 2.0], abs=0.1)


def test_mahalanobis_is_the_distance_under_the_shrunk_covariance():
    training, judged = RNG.normal(size=(12, 20)), RNG.normal(size=(4, 20))  # fewer than dimensions
    covariance = LedoitWolf().fit(training).covariance_
    offsets = judged - training.mean(axis=0)
    expected = np.sqrt(np.einsum("ni,ni->n", offsets, np.linalg.solve(covariance, offsets.T).T))
    assert Mahalanobis().fit(training).score(judged) == pytest.approx(expected)


def test_mahalanobis_of_float32_embeddings_is_that_of_float64():
    training = (RNG.normal(size=(300, 4)) * [1.0, 1.0, 1.0, 1e-3] + 1000).astype(np.float32)
    found = Mahalanobis().fit(training).score(training[:5])
    assert found == pytest.approx(Mahalanobis().fit(training.astype(np.float64)).score(training[:5].astype(float)))


@pytest.mark.parametrize("count", [0, 1])
def test_mahalanobis_needs_two_embeddings(count):
    with pytest.raises(NotEnoughData, match=rf"was given {count} images to fit on; at least 2 are needed; score"):
        Mahalanobis().fit(np.zeros((count, 3)))


def test_the_norm_orders_images_like_the_gaussian_term_alone():
    embeddings = RNG.normal(size=(6, 3)).astype(np.float32)
    found = EmbeddingNorm().fit(embeddings).score(embeddings)
    assert found == pytest.approx(np.sqrt(np.square(embeddings).sum(axis=1)))
    assert EmbeddingNorm().score(np.array([[3.0, 4.0]])).tolist() == [5.0]


def test_the_residual_is_what_visible_measures_leave_of_the_score():
    brightness, own = RNG.normal(size=(2, 600))
    scored = np.column_stack([3 * brightness + own, brightness, RNG.normal(size=600)])
    found = Residual().fit(scored[:400]).score(scored[400:])
    assert np.corrcoef(found, -own[400:])[0, 1] > 0.85
    assert abs(np.corrcoef(found, brightness[400:])[0, 1]) < 0.3
    with pytest.raises(NotEnoughData, match="was given 39 images to fit on; at least 40 are needed"):
        Residual().fit(scored[:39])


@pytest.mark.parametrize("name", [name for name in DETECTORS if name != "residual"])
def test_every_detector_finds_far_embeddings_outlying_and_says_what_it_is(name):
    detector = DETECTORS[name]()
    training = RNG.normal(size=(max(detector.least, 30), 4))
    near, far = detector.fit(training).score(RNG.normal(size=(5, 4))), detector.score(np.full((5, 4), 20.0))
    assert near.max() < far.min()
    assert detector.title
    assert detector.words


# --- fitted methods ---------------------------------------------------------------------------------------------------


def domain(name: str, count: int, centre: float = 0.0) -> Domain:
    scores = {f"{variant}_score": RNG.normal(size=count) for variant in VARIANTS}
    digests = [f"{name}/{position}" for position in range(count)]
    others = {reads: RNG.normal(centre, 1, (count, 4)) for reads in ("spectrum", "sizes", "visible")}
    return Domain(name, pd.DataFrame({"digest": digests} | scores), RNG.normal(centre, 1, (count, 3)), others)


def test_judges_give_every_variants_negative_and_every_detectors_own_score():
    training, foreign = domain("training", 50), domain("foreign", 4, 3.0)
    fitted = FittedMethods(training)
    assert fitted.methods == tuple(methods.METHODS) == (*VARIANTS, *DETECTORS)
    for name in VARIANTS:
        assert fitted.outlying(name, foreign).tolist() == (-foreign.table[f"{name}_score"]).tolist()
    for name, make in DETECTORS.items():
        reads = make().reads
        expected = make().fit(training.fingerprints(reads)).score(foreign.fingerprints(reads))
        assert fitted.outlying(name, foreign).tolist() == expected.tolist()


def test_what_is_not_known_of_an_image_is_not_judged_and_what_is_known_of_too_few_is_not_fitted():
    training, foreign = domain("training", 20), domain("foreign", 4, 3.0)
    foreign.others["sizes"][1] = np.nan
    found = FittedMethods(training)
    assert np.isnan(found.outlying("sizes_knn", foreign)).tolist() == [False, True, False, False]
    assert np.isnan(found.outlying("joint", foreign)).tolist() == [False, True, False, False]
    assert not np.isnan(found.outlying("knn", foreign)).any()
    training.others["spectrum"][:11] = np.nan
    assert {"spectrum_knn", "spectrum_mahalanobis"}.isdisjoint(FittedMethods(training).methods)


def test_the_joint_fingerprint_is_sizes_and_embedding_side_by_side():
    one = domain("one", 5)
    assert one.fingerprints("joint").tolist() == np.hstack([one.others["sizes"], one.embeddings]).tolist()
    assert one.only(np.arange(5) > 2).fingerprints("joint").tolist() == one.fingerprints("joint")[3:].tolist()
    assert np.isnan(Domain("bare", one.table, one.embeddings).fingerprints("sizes")).all()


def test_sizes_are_far_in_narrow_directions_that_shrinkage_would_drown():
    common = RNG.normal(size=(300, 1))
    training = common + 0.01 * RNG.normal(size=(300, 5))  # columns that hang together
    judged = np.array([[0.3, -0.3, 0.0, 0.0, 0.0]])
    sizes, embedding = Mahalanobis(reads="sizes").fit(training), Mahalanobis().fit(training)
    covariance = np.cov(((training - training.mean(0)) / training.std(0)).T, bias=True) + RIDGE * np.eye(5)
    apart = (judged - training.mean(0)) / training.std(0)
    assert sizes.score(judged) == pytest.approx(np.sqrt(np.sum(apart * np.linalg.solve(covariance, apart.T).T)))
    assert sizes.score(judged)[0] > 2 * embedding.score(judged)[0]
    assert sizes.deviations(judged) == pytest.approx(apart)


def test_neighbours_of_sizes_are_those_of_the_whitened_and_of_spectra_those_of_the_standardised():
    training = RNG.normal(size=(50, 3)) * [1, 10, 100]
    judged = RNG.normal(size=(4, 3)) * [1, 10, 100]
    standard = training.std(axis=0)
    plain = KNN(k=3).fit(training / standard).score(judged / standard)
    assert KNN(k=3, reads="spectrum").fit(training).score(judged) == pytest.approx(plain)
    white = np.linalg.cholesky(
        np.linalg.inv(np.cov(((training - training.mean(0)) / standard).T, bias=True) + RIDGE * np.eye(3))
    )
    turned = [(values - training.mean(0)) / standard @ white for values in (training, judged)]
    assert KNN(k=3, reads="sizes").fit(training).score(judged) == pytest.approx(
        KNN(k=3).fit(turned[0]).score(turned[1])
    )


def test_a_detector_does_not_judge_what_it_was_fitted_on_but_one_without_a_fit_does():
    training = domain("training", 20)
    both = Domain("both", pd.concat([training.table[:2], domain("new", 1).table]), np.zeros((3, 3)))
    fitted = FittedMethods(training)
    assert np.isnan(fitted.outlying("knn", both)).tolist() == [True, True, False]
    assert np.isnan(fitted.outlying("mahalanobis", both)).tolist() == [True, True, False]
    assert fitted.outlying("norm", both).tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(fitted.outlying("knn", training)).all()


@pytest.mark.parametrize("training", [None, domain("few", 9)])
def test_without_enough_training_images_only_what_needs_no_fit_is_left(training):
    assert FittedMethods(training).methods == (*VARIANTS, "norm")
    assert not FittedMethods(training).seen


class Constant:
    """A detector made up for a test."""

    title = words = "constant"
    reads = "embedding"
    least = 0

    def fit(self, _embeddings):
        return self

    def score(self, embeddings):
        return np.full(len(embeddings), 7.0)


def test_a_detector_that_is_in_the_list_judges(monkeypatch):
    monkeypatch.setitem(detectors.DETECTORS, "constant", Constant)
    monkeypatch.setitem(methods.METHODS, "constant", "constant")  # made of the list when the module is loaded
    assert FittedMethods(None).outlying("constant", domain("foreign", 2)).tolist() == [7.0, 7.0]

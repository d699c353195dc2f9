"""Baselines on embeddings, one by one, and the list of methods that all parts of the project judge by."""

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
    with pytest.raises(NotEnoughData, match=r"10-nearest-neighbours was .* 9 embeddings.*; at least 10 are needed"):
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
    with pytest.raises(NotEnoughData, match=rf"was given {count} embeddings to fit on; at least 2 are needed; score"):
        Mahalanobis().fit(np.zeros((count, 3)))


def test_the_norm_orders_images_like_the_gaussian_term_alone():
    embeddings = RNG.normal(size=(6, 3)).astype(np.float32)
    found = EmbeddingNorm().fit(embeddings).score(embeddings)
    assert found == pytest.approx(np.sqrt(np.square(embeddings).sum(axis=1)))
    assert EmbeddingNorm().score(np.array([[3.0, 4.0]])).tolist() == [5.0]


@pytest.mark.parametrize("name", DETECTORS)
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
    return Domain(name, pd.DataFrame({"digest": digests} | scores), RNG.normal(centre, 1, (count, 3)))


def test_judges_give_every_variants_negative_and_every_detectors_own_score():
    training, foreign = domain("training", 20), domain("foreign", 4, 3.0)
    fitted = FittedMethods(training)
    assert fitted.methods == tuple(methods.METHODS) == (*VARIANTS, *DETECTORS)
    for name in VARIANTS:
        assert fitted.outlying(name, foreign).tolist() == (-foreign.table[f"{name}_score"]).tolist()
    for name, make in DETECTORS.items():
        expected = make().fit(training.embeddings).score(foreign.embeddings)
        assert fitted.outlying(name, foreign).tolist() == expected.tolist()


def test_a_detector_does_not_judge_what_it_was_fitted_on_but_one_without_a_fit_does():
    training = domain("training", 20)
    both = Domain("both", *(pd.concat([training.table[:2], domain("new", 1).table]), np.zeros((3, 3))))
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
    least = 0

    def fit(self, _embeddings):
        return self

    def score(self, embeddings):
        return np.full(len(embeddings), 7.0)


def test_a_detector_that_is_in_the_list_judges(monkeypatch):
    monkeypatch.setitem(detectors.DETECTORS, "constant", Constant)
    monkeypatch.setitem(methods.METHODS, "constant", "constant")  # made of the list when the module is loaded
    assert FittedMethods(None).outlying("constant", domain("foreign", 2)).tolist() == [7.0, 7.0]

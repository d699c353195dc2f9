"""How well scores separate sets, and where a score falls in a reference: by hand, by counting, and by scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from jepa_core.detectors.knn import KNN
from jepa_core.domains import Domain, domain_table, in_words
from jepa_core.errors import NotEnoughData
from jepa_core.metrics import auroc, fpr95
from jepa_core.projection import nearest
from jepa_core.reference import percentile

RNG = np.random.default_rng(0)
# Rounded, so that there are many ties.
INLIERS, OUTLIERS = RNG.normal(0, 1, 70).round(1), RNG.normal(0.8, 1, 45).round(1)
NOTHING = np.empty(0)


# --- AUROC and FPR95 --------------------------------------------------------------------------------------------------


def test_auroc_is_the_share_of_pairs_in_the_right_order_and_a_tie_is_half_a_pair():
    pairs = np.sign(OUTLIERS[:, None] - INLIERS[None])
    assert (pairs == 0).any()
    assert auroc(INLIERS, OUTLIERS) == pytest.approx(np.mean((pairs + 1) / 2))


def test_auroc_agrees_with_scikit_learn():
    truth = [0] * len(INLIERS) + [1] * len(OUTLIERS)
    assert auroc(INLIERS, OUTLIERS) == pytest.approx(roc_auc_score(truth, [*INLIERS, *OUTLIERS]))


@pytest.mark.parametrize(
    ("inliers", "outliers", "expected"),
    [
        ([0.0, 1.0], [2.0, 3.0], 1.0),
        ([2.0, 3.0], [0.0, 1.0], 0.0),  # inverted
        ([1.0, 1.0], [1.0, 1.0, 1.0], 0.5),
        ([0.0, 1.0], [1.0, 2.0], 0.875),
    ],
)
def test_auroc_by_hand(inliers, outliers, expected):
    assert auroc(np.array(inliers), np.array(outliers)) == expected


@pytest.mark.parametrize(
    ("inliers", "outliers", "expected"),
    [
        ([0.0, 1.0], [2.0, 3.0], 0.0),
        ([2.0, 3.0], [0.0, 1.0], 1.0),
        # To catch all four outliers the threshold must go down to 1, where half of the inliers are.
        ([0.0, 1.0, 1.0, 0.0], [1.0, 2.0, 3.0, 4.0], 0.5),
        # 19 of 20 outliers are 95 %: the one at 0 may be missed.
        ([0.5, 0.5], [0.0] + [1.0] * 19, 0.0),
        # 18 of 19 are not: it must be caught.
        ([0.5, 0.5], [0.0] + [1.0] * 18, 1.0),
    ],
)
def test_fpr95_by_hand(inliers, outliers, expected):
    assert fpr95(np.array(inliers), np.array(outliers)) == expected


def test_fpr95_by_trying_every_threshold():
    shares = [
        np.mean(threshold <= INLIERS)
        for threshold in np.concatenate([INLIERS, OUTLIERS])
        if np.mean(threshold <= OUTLIERS) >= 0.95
    ]
    assert fpr95(INLIERS, OUTLIERS) == pytest.approx(min(shares))


@pytest.mark.parametrize("metric", [auroc, fpr95])
@pytest.mark.parametrize(("inliers", "outliers"), [(NOTHING, OUTLIERS), (INLIERS, NOTHING), (NOTHING, NOTHING)])
def test_an_empty_set_is_told_in_a_sentence(metric, inliers, outliers):
    with pytest.raises(
        NotEnoughData, match=rf"asked for {inliers.size} inliers and {outliers.size} outliers; at least one of each"
    ):
        metric(inliers, outliers)


# --- percentile -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "expected"),
    [(0.0, 0.0), (1.0, 10.0), (1.5, 20.0), (2.0, 50.0), (3.0, 90.0), (9.0, 100.0), (-np.inf, 0.0), (np.inf, 100.0)],
)
def test_percentile_is_the_share_below_with_ties_counting_half(score, expected):
    reference = np.array([2.0, 1.0, 2.0, 3.0, 2.0])
    assert percentile(np.array([score]), reference)[0] == pytest.approx(expected)


def test_percentiles_of_the_reference_itself_average_to_50():
    assert percentile(INLIERS, INLIERS).mean() == pytest.approx(50.0)


def test_an_empty_reference_is_told_in_a_sentence():
    with pytest.raises(NotEnoughData, match="The reference has no scored images; a percentile needs some; score"):
        percentile(np.array([1.0]), NOTHING)


# --- nearest neighbours -----------------------------------------------------------------------------------------------


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


# --- domains ----------------------------------------------------------------------------------------------------------


def domain(name: str, scores: list[float], centre: float) -> Domain:
    table = pd.DataFrame(
        {"jepa_score": scores, "gaussian_score": [-score for score in scores], "estimated": name == "noise"}
    )
    return Domain(name, table, np.full((len(scores), 2), centre))


REFERENCE = domain("digits", [10.0, 11.0, 12.0, 13.0], 0.0)
UNLIKELY = domain("noise", [1.0, 2.0, 3.0], 5.0)
LIKELY = domain("flat", [20.0, 30.0], 0.0)
SAME = domain("flipped", [10.0, 13.0], 0.0)


def table(training: Domain | None = None) -> pd.DataFrame:
    return domain_table([REFERENCE, UNLIKELY, LIKELY, SAME], REFERENCE, training).set_index("domain")


def test_a_domains_line_has_its_quartiles_and_where_its_median_falls():
    line = table().loc["noise"]
    assert line[["images", "q25", "median", "q75", "median_percentile"]].tolist() == [3, 1.5, 2.0, 2.5, 0.0]
    assert table().loc["flat", "median_percentile"] == 100.0


def test_outliers_are_the_positives_so_unlikely_domains_have_a_high_auroc():
    found = table()["auroc_jepa"]
    assert found[["noise", "flat", "flipped"]].tolist() == [1.0, 0.0, 0.5]
    assert np.isnan(found["digits"])
    assert table()["auroc_gaussian"]["noise"] == 0.0  # the term was made to point the other way
    assert table()["fpr95_jepa"][["noise", "flat"]].tolist() == [0.0, 1.0]


def test_the_distance_to_training_images_stands_beside_the_score():
    training = domain("training", [0.0] * 12, 0.0)
    assert table(training)["auroc_knn"][["noise", "flat"]].tolist() == [1.0, 0.5]


@pytest.mark.parametrize("training", [None, domain("training", [0.0] * 9, 0.0)])
def test_without_enough_training_images_there_is_no_distance(training):
    assert "auroc_knn" not in table(training)


def test_the_words_say_which_domains_the_score_tells_apart_and_where_it_fails():
    words = in_words(table(domain("training", [0.0] * 12, 0.0)).reset_index(), "digits")
    assert words == (
        "The score tells noise (AUROC 1.00) from digits. "
        "It hardly tells flipped (0.50) from digits. "
        "It is upside down on flat (0.00): it finds them more likely than digits. "
        "The distance to the 10th nearest training image does better on flat."
    )


def test_a_reference_alone_asks_for_another_domain():
    words = in_words(domain_table([REFERENCE], REFERENCE, None), "digits")
    assert words == "Choose another domain to compare with digits."

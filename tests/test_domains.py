"""Domains beside a reference: distances, the table with its intervals, and what is said of it in words."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import LedoitWolf

from jepa_core.detectors.knn import KNN
from jepa_core.detectors.mahalanobis import Mahalanobis
from jepa_core.domains import METHODS, Domain, distances_in_words, domain_table, in_words, with_interval
from jepa_core.encoders import get_spec
from jepa_core.errors import NotEnoughData
from jepa_core.metrics import auroc, fpr95, interval, resampled
from jepa_core.projection import nearest

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


# --- the table --------------------------------------------------------------------------------------------------------


def domain(name: str, scores: list[float], centre: float, digests: list[str] | None = None) -> Domain:
    """Scores with embeddings around a centre, and a Gaussian term that turns the order round."""
    table = pd.DataFrame(
        {
            "digest": digests or [f"{name}/{position}" for position in range(len(scores))],
            "jepa_score": scores,
            "gaussian_score": [-score for score in scores],
            "estimated": name == "noise",
        }
    )
    around = np.random.default_rng(len(name)).normal(centre, 0.1, (len(scores), 2))
    return Domain(name, table, around)


REFERENCE = domain("digits", [10.0, 11.0, 12.0, 13.0], 0.0)
UNLIKELY = domain("noise", [1.0, 2.0, 3.0], 5.0)
LIKELY = domain("flat", [20.0, 30.0], 5.0)
SAME = domain("flipped", [10.0, 13.0], 0.0)
TRAINING = domain("training", [0.0] * 12, 0.0)


def table(training: Domain | None = None, reference: Domain = REFERENCE) -> pd.DataFrame:
    return domain_table([REFERENCE, UNLIKELY, LIKELY, SAME], reference, training).set_index("domain")


def test_a_domains_line_has_its_counts_and_quartiles():
    line = table().loc["noise"]
    assert line[["images", "estimated", "q25", "median", "q75"]].tolist() == [3, 3, 1.5, 2.0, 2.5]


def test_a_low_percentile_of_a_score_is_unlikely_and_a_high_one_of_a_distance_is_far():
    found = table(TRAINING)[[f"percentile_{method}" for method in METHODS]]
    assert found.loc["noise"].tolist() == [0.0, 100.0, 100.0, 100.0]
    assert found.loc["flat"].tolist() == [100.0, 0.0, 100.0, 100.0]
    assert found.loc["digits"].tolist() == [50.0] * 4


def test_outliers_are_the_positives_so_unlikely_domains_have_a_high_auroc():
    found = table()["auroc_jepa"]
    assert found[["noise", "flat", "flipped"]].tolist() == [1.0, 0.0, 0.5]
    assert np.isnan(found["digits"])
    assert table()["auroc_gaussian"]["noise"] == 0.0  # the term was made to point the other way
    assert table()["fpr95_jepa"][["noise", "flat"]].tolist() == [0.0, 1.0]


def test_distances_to_training_images_stand_beside_the_score():
    found = table(TRAINING)
    for method in ("knn", "mahalanobis"):
        assert found[f"auroc_{method}"][["noise", "flat"]].tolist() == [1.0, 1.0]
        assert found[f"fpr95_{method}"][["noise", "flat"]].tolist() == [0.0, 0.0]


def test_every_figure_has_the_interval_of_its_resamples():
    likely, foreign = (
        domain("own", list(RNG.normal(0, 1, 40)), 0.0),
        domain("foreign", list(RNG.normal(-1, 1, 30)), 0.05),
    )
    line = domain_table([likely, foreign], likely, TRAINING).iloc[1]
    judged = {
        "jepa": [-one.table["jepa_score"].to_numpy() for one in (likely, foreign)],
        "gaussian": [-one.table["gaussian_score"].to_numpy() for one in (likely, foreign)],
        "knn": [KNN().fit(TRAINING.embeddings).score(one.embeddings) for one in (likely, foreign)],
        "mahalanobis": [Mahalanobis().fit(TRAINING.embeddings).score(one.embeddings) for one in (likely, foreign)],
    }
    for method, (inliers, outliers) in judged.items():
        draws = resampled(inliers, outliers)
        for name, metric, drawn in zip(("auroc", "fpr95"), (auroc, fpr95), draws, strict=True):
            column = f"{name}_{method}"
            assert line[column] == metric(inliers, outliers)
            assert (line[f"{column}_low"], line[f"{column}_high"]) == interval(drawn)
        assert line[f"auroc_{method}_low"] < line[f"auroc_{method}_high"]


def has_distances(found: pd.DataFrame) -> pd.Series:
    return found[["percentile_knn", "percentile_mahalanobis"]].notna().all(axis=1)


def test_a_training_image_is_never_judged_by_its_distance_whatever_set_it_is_in():
    seen = TRAINING.table["digest"].tolist()
    copies = replace(domain("copies", [1.0, 2.0, 3.0], 9.0, [*seen[:2], "new"]), embeddings=np.full((3, 2), 9.0))
    copies.embeddings[:2] = TRAINING.embeddings[:2]  # so that a near median would show that they were judged
    found = domain_table([REFERENCE, copies, TRAINING], REFERENCE, TRAINING).set_index("domain")
    assert has_distances(found).to_dict() == {"digits": True, "copies": True, "training": False}
    assert found.loc["copies", ["percentile_knn", "auroc_knn", "auroc_mahalanobis"]].tolist() == [100.0, 1.0, 1.0]
    assert found.loc["training", "auroc_jepa"] == 1.0  # the score was not fitted to these images by the table


SPEC = replace(get_spec("digits"), training="training")


@pytest.mark.parametrize(
    ("spec", "training", "reference", "words"),
    [
        (
            replace(SPEC, training=""),
            None,
            REFERENCE,
            "There are no distances: the images that this encoder was trained on are not among the datasets here.",
        ),
        (
            SPEC,
            None,
            REFERENCE,
            "There are no distances: the images that this encoder was trained on have no scores here.",
        ),
        (
            SPEC,
            domain("training", [0.0] * 9, 0.0),
            REFERENCE,
            "There are no distances: 9 training images have scores here, and at least 10 are needed.",
        ),
        (
            SPEC,
            TRAINING,
            TRAINING,
            "There are no distances: the reference is the set that they would be fitted on.",
        ),
    ],
)
def test_without_distances_the_table_says_why(spec, training, reference, words):
    assert distances_in_words(spec, reference, training) == words
    found = table(training, reference)
    assert not has_distances(found).any()
    assert found.loc["noise", ["auroc_knn", "auroc_mahalanobis_low", "fpr95_knn_high"]].isna().all()


def test_with_distances_the_table_says_what_they_are_fitted_on():
    words = distances_in_words(SPEC, REFERENCE, TRAINING)
    assert words == f"Distances are to the 12 images of {TRAINING.name}, none of them judged."


# --- in words ---------------------------------------------------------------------------------------------------------


def test_the_words_say_which_domains_the_score_tells_apart_and_where_it_fails():
    assert in_words(table(TRAINING).reset_index(), "digits") == (
        "The score tells noise (AUROC 1.00) from digits. "
        "It hardly tells flipped (0.50) from digits. "
        "It is upside down on flat (0.00): it finds them more likely than digits. "
        "The distance to the 10th nearest training image does better on flat. "
        "The Mahalanobis distance does better on flat."
    )


@pytest.mark.parametrize(
    ("score", "low", "distance", "better"),
    [
        ((0.60, 0.65), 0.70, 0.75, True),
        ((0.60, 0.65), 0.64, 0.75, False),  # the intervals meet
        ((0.10, 0.15), 0.40, 0.48, False),  # less wrong is no better
        ((0.93, 0.94), 0.95, 0.96, False),  # too little to matter
    ],
)
def test_a_distance_does_better_only_where_it_surely_detects_more(score, low, distance, better):
    others = {f"auroc_mahalanobis{end}": [np.nan] for end in ("", "_low", "_high")}
    found = pd.DataFrame(
        {"domain": ["x"], "auroc_jepa": score[0], "auroc_jepa_high": score[1], "auroc_knn": distance}
        | {"auroc_knn_low": low}
        | others
    )
    assert ("does better on x" in in_words(found, "digits")) == better


def test_a_reference_alone_asks_for_another_domain():
    words = in_words(domain_table([REFERENCE], REFERENCE, None), "digits")
    assert words == "Choose another domain to compare with digits."


def test_a_figure_is_written_with_its_interval_and_none_without_a_value():
    found = pd.DataFrame(
        {"auroc_knn": [0.567, np.nan], "auroc_knn_low": [0.5, np.nan], "auroc_knn_high": [0.61, np.nan]}
    )
    assert with_interval(found, "auroc_knn").tolist() == ["0.57 (0.50 to 0.61)", None]

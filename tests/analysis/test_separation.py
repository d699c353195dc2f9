"""Domains beside a reference: distances, the table with its intervals, and what is said of it in words."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from jepa_core.analysis.methods import COMPARED, Domain
from jepa_core.analysis.separation import (
    column_with_interval,
    distances_in_words,
    domain_table,
    in_words,
    most_telling,
)
from jepa_core.detectors import DETECTORS
from jepa_core.encoders.registry import get_spec
from jepa_core.stats.metrics import separation

RNG = np.random.default_rng(0)
ASKED = [name for name in COMPARED if name in DETECTORS]

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
    generator = np.random.default_rng(len(name))
    around = generator.normal(centre, 0.1, (len(scores), 2))
    others = {reads: generator.normal(centre, 0.1, (len(scores), 3)) for reads in ("spectrum", "sizes")}
    return Domain(name, table, around, others)


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
    found = table(TRAINING)[[f"percentile_{method}" for method in COMPARED]]
    assert found.loc["noise"].tolist() == [0.0, *[100.0] * (len(COMPARED) - 1)]
    assert found.loc["flat"].tolist() == [100.0, 0.0, *[100.0] * (len(COMPARED) - 2)]
    assert found.loc["digits"].tolist() == [50.0] * len(COMPARED)


def test_outliers_are_the_positives_so_unlikely_domains_have_a_high_auroc():
    found = table()["auroc_jepa"]
    assert found[["noise", "flat", "flipped"]].tolist() == [1.0, 0.0, 0.5]
    assert np.isnan(found["digits"])
    assert table()["auroc_gaussian"]["noise"] == 0.0  # the term was made to point the other way
    assert table()["fpr95_jepa"][["noise", "flat"]].tolist() == [0.0, 1.0]


def test_distances_to_training_images_stand_beside_the_score():
    found = table(TRAINING)
    for method in ASKED:
        assert found[f"auroc_{method}"][["noise", "flat"]].tolist() == [1.0, 1.0]
        assert found[f"fpr95_{method}"][["noise", "flat"]].tolist() == [0.0, 0.0]
        assert found[f"aupr_{method}"][["noise", "flat"]].tolist() == [1.0, 1.0]


def test_every_figure_has_the_interval_of_its_resamples():
    likely, foreign = (
        domain("own", list(RNG.normal(0, 1, 40)), 0.0),
        domain("foreign", list(RNG.normal(-1, 1, 30)), 0.05),
    )
    line = domain_table([likely, foreign], likely, TRAINING).iloc[1]
    judged = {
        "jepa": [-one.table["jepa_score"].to_numpy() for one in (likely, foreign)],
        "gaussian": [-one.table["gaussian_score"].to_numpy() for one in (likely, foreign)],
    }
    for method in ASKED:
        detector = DETECTORS[method]()
        detector.fit(TRAINING.fingerprints(detector.reads))
        judged[method] = [detector.score(one.fingerprints(detector.reads)) for one in (likely, foreign)]
    for method, (inliers, outliers) in judged.items():
        found = separation(inliers, outliers)
        assert {name: line[name.replace("_", f"_{method}_")] for name in found if "_" in name} == {
            name: value for name, value in found.items() if "_" in name
        }
        assert [line[f"{name}_{method}"] for name in ("auroc", "fpr95", "aupr")] == [
            found[name] for name in ("auroc", "fpr95", "aupr")
        ]
        assert line[f"auroc_{method}_low"] < line[f"auroc_{method}_high"]


def test_an_image_that_is_in_the_reference_too_is_no_outlier():
    shared = REFERENCE.table["digest"].tolist()[:2]
    both = domain("both", [10.0, 11.0, 1.0], 0.0, [*shared, "new"])
    found = domain_table([both, REFERENCE], REFERENCE, None).set_index("domain")
    assert found.loc["both", ["images", "auroc_jepa"]].tolist() == [3, 1.0]  # of the one that is foreign
    copy = replace(REFERENCE, name="copy")
    alone = domain_table([REFERENCE, copy], REFERENCE, None)
    assert alone["auroc_jepa"].isna().all()
    assert in_words(alone, "digits") == ["Choose another domain to compare with digits."]


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
    assert in_words(table(TRAINING).reset_index(), "digits") == [
        "The score tells noise (AUROC 1.00) from digits.",
        "It hardly tells flipped (0.50) from digits.",
        "It is upside down on flat (0.00): it finds them more likely than digits.",
        "Better than the score: the distance to the 10th nearest training image, the Mahalanobis distance, the "
        "embedding norm, the distance to the 10th nearest training image in log spectrum, the Mahalanobis distance of "
        "layers' sizes and the Mahalanobis distance of layers' sizes and embedding on flat.",
    ]


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
    others = {f"auroc_{method}{end}": [np.nan] for method in ASKED if method != "knn" for end in ("", "_low", "_high")}
    found = pd.DataFrame(
        {"domain": ["x"], "auroc_jepa": score[0], "auroc_jepa_high": score[1], "auroc_knn": distance}
        | {"auroc_knn_low": low}
        | others
    )
    assert ("Better than the score: the distance" in " ".join(in_words(found, "digits"))) == better


def test_a_reference_alone_asks_for_another_domain():
    words = in_words(domain_table([REFERENCE], REFERENCE, None), "digits")
    assert words == ["Choose another domain to compare with digits."]


def test_a_figure_is_written_with_its_interval_and_none_without_a_value():
    found = pd.DataFrame(
        {"auroc_knn": [0.567, np.nan], "auroc_knn_low": [0.5, np.nan], "auroc_knn_high": [0.61, np.nan]}
    )
    assert column_with_interval(found, "auroc_knn").tolist() == ["0.57 (0.50 to 0.61)", None]


@pytest.mark.parametrize(
    ("aurocs", "place"),
    [
        ([0.6, 0.1, 0.7], 1),  # upside down counts as much
        ([0.6, 0.99, 0.7], 2),  # what hardly overlaps is left out
        ([0.97, 0.99], 1),  # unless there is nothing else
        ([np.nan, 0.55], 1),
    ],
)
def test_the_domain_worth_a_closer_look_is_the_one_that_is_separated_most_but_not_perfectly(aurocs, place):
    assert most_telling(pd.DataFrame({"auroc_jepa": [np.nan, *aurocs]})) == place

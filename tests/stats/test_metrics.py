"""How well scores separate sets: by hand, by counting, and by scikit-learn."""

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import average_precision_score, roc_auc_score

from jepa_core.errors import NotEnoughData
from jepa_core.stats.bootstrap import interval, times_drawn
from jepa_core.stats.metrics import (
    METRICS,
    aupr,
    auroc,
    auroc_each,
    fpr95,
    resampled,
    separation,
    weighted_auroc,
)

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


# --- AUPR -------------------------------------------------------------------------------------------------------------


def test_aupr_agrees_with_scikit_learn():
    truth = [0] * len(INLIERS) + [1] * len(OUTLIERS)
    assert aupr(INLIERS, OUTLIERS) == pytest.approx(average_precision_score(truth, [*INLIERS, *OUTLIERS]))


@pytest.mark.parametrize(
    ("inliers", "outliers", "expected"),
    [
        ([0.0, 1.0], [2.0, 3.0], 1.0),
        ([2.0, 3.0], [0.0, 1.0], (1 / 3 + 2 / 4) / 2),  # inverted: the outliers come third and fourth
        ([1.0] * 6, [1.0] * 2, 2 / 8),  # one threshold, which all pass together
        # From above: an outlier alone (1 of 1), one tied with two inliers (2 of 4), and another outlier (3 of 5).
        ([2.0, 2.0, 0.0], [3.0, 2.0, 1.0], (1 / 1 + 2 / 4 + 3 / 5) / 3),
        # Two outliers and an inlier tied at the top are 2 of 3 together, the last outlier is 3 of 4.
        ([5.0, 0.0], [5.0, 5.0, 1.0], (2 * 2 / 3 + 3 / 4) / 3),
    ],
)
def test_aupr_by_hand(inliers, outliers, expected):
    assert aupr(np.array(inliers), np.array(outliers)) == pytest.approx(expected)


# --- many columns at once ---------------------------------------------------------------------------------------------


def test_the_auroc_of_every_column_is_that_of_the_column_alone():
    inliers, outliers = RNG.normal(size=(40, 7)).round(1), RNG.normal(0.5, 1, size=(30, 7)).round(1)
    outliers[:, 3], inliers[0, 4] = 0.3, -np.inf
    expected = [auroc(inliers[:, k], outliers[:, k]) for k in range(7)]
    assert auroc_each(inliers, outliers) == pytest.approx(expected)


def test_columns_of_an_empty_set_are_told_in_a_sentence():
    with pytest.raises(NotEnoughData, match="at least one of each is needed"):
        auroc_each(np.empty((0, 3)), np.ones((2, 3)))


def test_weights_count_as_scikit_learns_do_and_whole_ones_as_copies_of_the_image():
    near, far = RNG.random((INLIERS.size, 3)), RNG.random((OUTLIERS.size, 3))
    truth = np.repeat([0, 1], [INLIERS.size, OUTLIERS.size])
    expected = [roc_auc_score(truth, [*INLIERS, *OUTLIERS], sample_weight=[*near[:, k], *far[:, k]]) for k in range(3)]
    assert weighted_auroc(INLIERS, OUTLIERS, near, far) == pytest.approx(expected)
    times = RNG.integers(0, 3, INLIERS.size)
    once = np.ones((OUTLIERS.size, 1), dtype=int)
    found = weighted_auroc(INLIERS, OUTLIERS, times[:, None], once)
    assert found[0] == auroc(np.repeat(INLIERS, times), OUTLIERS)


# --- empty sets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [auroc, fpr95, aupr, resampled, separation])
@pytest.mark.parametrize(("inliers", "outliers"), [(NOTHING, OUTLIERS), (INLIERS, NOTHING), (NOTHING, NOTHING)])
def test_an_empty_set_is_told_in_a_sentence(metric, inliers, outliers):
    with pytest.raises(
        NotEnoughData, match=rf"asked for {inliers.size} inliers and {outliers.size} outliers; at least one of each"
    ):
        metric(inliers, outliers)


# --- intervals --------------------------------------------------------------------------------------------------------


def test_each_resample_is_judged_like_the_images_it_drew():
    found = resampled(INLIERS, OUTLIERS)
    drawn = times_drawn(INLIERS.size, OUTLIERS.size)
    for place, (times_in, times_out) in enumerate(zip(*(times.T for times in drawn), strict=True)):
        inliers, outliers = np.repeat(INLIERS, times_in), np.repeat(OUTLIERS, times_out)
        for name, metric in METRICS.items():
            assert found[name][place] == pytest.approx(metric(inliers, outliers))


@pytest.mark.parametrize("name", METRICS)
def test_the_interval_is_that_of_scipys_percentile_bootstrap(name):
    metric = METRICS[name]
    found = interval(resampled(INLIERS, OUTLIERS)[name])
    expected = bootstrap(
        (INLIERS, OUTLIERS),
        metric,
        n_resamples=1000,
        vectorized=False,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    assert found == pytest.approx((expected.low, expected.high), abs=0.03)
    assert found[0] < metric(INLIERS, OUTLIERS) < found[1]


def test_an_interval_holds_the_truth_nine_times_in_ten():
    # AUROC of N(1, 1) against N(0, 1) is Phi(1 / sqrt(2)).
    truth, generator, held = 0.7602, np.random.default_rng(1), 0
    for _ in range(200):
        low, high = interval(resampled(generator.normal(0, 1, 80), generator.normal(1, 1, 60))["auroc"])
        held += low <= truth <= high
    assert 0.83 < held / 200 < 0.96  # 3.3 standard deviations below 0.9, 2.8 above


def test_intervals_are_the_same_every_time_and_paired_for_two_scores_of_the_same_images():
    areas = resampled(INLIERS, OUTLIERS)["auroc"]
    assert (areas == resampled(INLIERS, OUTLIERS)["auroc"]).all()
    assert np.allclose(resampled(2 * INLIERS + 5, 2 * OUTLIERS + 5)["auroc"], areas)
    # Turned round on the same draws: each pair that was right is wrong.
    assert np.allclose(resampled(-INLIERS, -OUTLIERS)["auroc"], 1 - areas)


def test_infinite_scores_are_ordered_too():
    found = resampled(np.array([0.0, 1.0]), np.array([np.inf, np.inf]))
    assert {name: set(values) for name, values in found.items()} == {"auroc": {1.0}, "fpr95": {0.0}, "aupr": {1.0}}
    assert auroc(np.array([-np.inf, 1.0]), np.array([-np.inf, np.inf])) == 0.625


def test_a_separation_is_every_metric_with_the_interval_of_its_resamples():
    found, draws = separation(INLIERS, OUTLIERS), resampled(INLIERS, OUTLIERS)
    for name, metric in METRICS.items():
        assert found[name] == metric(INLIERS, OUTLIERS)
        assert (found[f"{name}_low"], found[f"{name}_high"]) == interval(draws[name])
    assert len(found) == 9

"""Which singular values make an image unlikely: a score taken apart."""

import numpy as np
import pytest

from jepa_core.explain import attribution
from jepa_core.jacobian.spectrum import jepa_score

RNG = np.random.default_rng(7)
SPECTRA = np.sort(np.exp(RNG.normal(0, 1, (200, 40))), axis=1)[:, ::-1].astype(np.float32)
SPREAD = attribution.spectrum_spread("Known", SPECTRA, 40)


def image(changed: slice, by: float) -> np.ndarray:
    """A spectrum whose logs are the medians, but some lower or higher."""
    logs = SPREAD.median.copy()
    logs[changed] += by
    return np.exp(logs)


def test_the_parts_add_up_to_the_score_less_the_medians():
    found = attribution.attribute(SPECTRA[3], SPREAD)
    assert found.total == pytest.approx(jepa_score(SPECTRA[3], 40) - SPREAD.median.sum())
    assert np.allclose(np.diff(found.cumulated), found.difference[1:])


def test_the_spread_has_the_quantiles_of_each_log_singular_value():
    logs = np.log(SPECTRA.astype(np.float64))
    assert np.allclose(SPREAD.logs, np.quantile(logs, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0))
    inside = np.mean([np.isin(attribution.attribute(one, SPREAD).outside, range(41)) for one in SPECTRA])
    assert inside == 1.0
    assert np.mean([attribution.attribute(one, SPREAD).outside for one in SPECTRA]) == pytest.approx(4.0, abs=0.3)


def test_half_of_the_scores_lie_in_the_middle():
    totals = np.array([attribution.attribute(one, SPREAD).total for one in SPECTRA])
    assert np.mean((totals >= SPREAD.middle[0]) & (totals <= SPREAD.middle[1])) == pytest.approx(0.5, abs=0.01)


def test_directions_beyond_the_rank_have_no_part():
    narrow = attribution.spectrum_spread("Known", SPECTRA, 30)
    assert attribution.attribute(SPECTRA[0], narrow).difference.shape == (30,)


def test_a_zero_is_a_large_shortfall_and_no_infinity():
    found = attribution.attribute(np.append(SPECTRA[0, :39], 0.0), SPREAD)
    assert np.isfinite(found.total)
    assert found.run == (40, 40)


@pytest.mark.parametrize(
    ("values", "run"),
    [
        ([0.0, -1.0, -1.0, 0.0], (2, 2)),
        ([-3.0, 1.0, -1.0, -1.0], (1, 1)),
        ([1.0, 1.0, 1.0, 1.0], (1, 2)),
        ([-1.0, -1.0, -2.0, 3.0, -4.0], (5, 5)),
        ([0.0, 0.0], (1, 1)),
    ],
)
def test_the_shortest_run_that_holds_half(values, run):
    assert attribution.shortest_run(np.array(values)) == run


def test_no_shorter_run_holds_half():
    for seed in range(20):
        values = np.random.default_rng(seed).normal(-0.3, 1, 25)
        first, last = attribution.shortest_run(values)
        side = np.sign(values.sum())
        assert side * values[first - 1 : last].sum() >= side * values.sum() / 2
        shorter = last - first
        sums = [side * values[at : at + shorter].sum() for at in range(25 - shorter + 1)] if shorter else []
        assert all(one < side * values.sum() / 2 for one in sums)


# --- in words ---------------------------------------------------------------------------------------------------------


def words(changed: slice, by: float) -> str:
    return attribution.in_words(attribution.attribute(image(changed, by), SPREAD), SPREAD)


def test_a_shortfall_says_how_much_and_where_from():
    text = words(slice(33, 37), -4.0)
    assert "add up to 16.0 less than the medians of the 200 images of Known." in text
    assert "Half of that shortfall comes from directions 34 to 35 of 40" in text
    assert "notices least" in text


def test_a_surplus_is_told_as_one():
    text = words(slice(2, 3), 30.0)
    assert "30.0 more than the medians" in text
    assert "Half of that surplus comes from direction 3 of 40, among the changes" in text


def test_an_ordinary_score_needs_no_explanation():
    assert "so there is little to explain" in words(slice(0, 1), -0.01)


def test_what_is_spread_over_all_directions_is_said_to_be():
    assert "spread over the whole spectrum" in words(slice(None), -1.0)


def test_what_pulls_the_other_way_is_said():
    logs = SPREAD.median.copy()
    logs[:4] += 5.0
    logs[30:] -= 4.0
    found = attribution.attribute(np.exp(logs), SPREAD)
    assert "Some of the others pull the other way, by 20.0." in attribution.in_words(found, SPREAD)


def test_the_values_outside_of_the_band_are_counted():
    assert "Of its 40 singular values 4 lie outside of the band that holds 90 % of the reference's" in words(
        slice(0, 4), 9
    )
    assert "1 lies outside" in words(slice(0, 1), 9.0)
    assert "of an ordinary image about 4 would" in words(slice(0, 1), 9.0)

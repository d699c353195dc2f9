"""One p-value of several methods: its guarantee, what each method is worth, and what it is when one is missing."""

import numpy as np
import pytest

from jepa_core.check.combined import WEIGHTS, CombinedTest, weights_of

RNG = np.random.default_rng(0)


def agreeing(count: int) -> dict[str, np.ndarray]:
    """Outlier scores by methods that agree in part."""
    together = RNG.normal(size=count)
    return {name: 0.7 * together + RNG.normal(size=count) for name in WEIGHTS}


def one(values: dict[str, np.ndarray], place: int) -> dict[str, float]:
    return {name: float(column[place]) for name, column in values.items()}


def test_at_most_five_in_a_hundred_pictures_that_belong_are_called():
    called = []
    for _ in range(40):
        values = agreeing(250)
        test = CombinedTest({name: column[:199] for name, column in values.items()})
        called += [test(one(values, place)).p <= 0.05 for place in range(199, 250)]
    assert np.mean(called) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / len(called)) + 0.01)


def test_it_is_the_rank_of_the_least_weighted_p_value_among_all_pictures():
    values = agreeing(30)
    test = CombinedTest({name: column[:29] for name, column in values.items()})
    everything = {name: column[:30] for name, column in values.items()}
    least = np.min(
        [(column[None, :] >= column[:, None]).sum(axis=1) / 30 / WEIGHTS[name] for name, column in everything.items()],
        axis=0,
    )
    assert test(one(values, 29)).p == pytest.approx((least <= least[29] * (1 + 1e-9)).sum() / 30)


def test_nineteen_references_are_enough_to_speak_at_five_per_cent():
    values = {name: np.arange(19.0) for name in WEIGHTS}
    assert CombinedTest(values)(dict.fromkeys(WEIGHTS, 30.0)).p == 0.05
    assert CombinedTest(values)(dict.fromkeys(WEIGHTS, 3.0)).p > 0.5


def test_the_method_that_speaks_loudest_is_named_and_raised():
    values = agreeing(400)
    found = CombinedTest(values)({**dict.fromkeys(WEIGHTS, -9.0), "visible": 9.0})
    assert found.first == "visible"
    assert found.raised == ("visible",)
    assert found.by_method["visible"] == pytest.approx(1 / 401)
    usual = CombinedTest(values)(dict.fromkeys(WEIGHTS, 0.0))
    assert usual.raised == ()
    assert usual.p > 0.05


def test_a_method_that_cannot_say_does_not_speak_against_a_picture():
    test = CombinedTest(agreeing(400))
    assert test(dict.fromkeys(WEIGHTS, np.nan)).p == 1.0
    assert test({}).p == 1.0
    assert test({"joint": 9.0}).p <= 0.05


def test_the_embedding_stands_in_for_layers_that_cannot_be_traced():
    assert weights_of(["knn", "visible"]) == {"visible": WEIGHTS["visible"], "knn": WEIGHTS["joint"]}
    assert "knn" not in weights_of(["knn", "joint"])


@pytest.mark.parametrize("given", [{}, {"guess": np.zeros(20)}])
def test_methods_without_a_weight_are_refused(given):
    with pytest.raises(ValueError, match="Methods with a weight are accepted"):
        CombinedTest(given)

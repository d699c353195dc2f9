"""What a run does next, on standings that are made up."""

import numpy as np
import pytest

from jepa_core.scoring import allocator
from jepa_core.scoring.allocator import LEAST_CHECKED, Prices, Standing, Step, next_step, quick_calibration
from jepa_core.scoring.method import LEAST_IMAGES, Goal

PRICES = Prices(look=0.1, product=0.05, full=20.0)
FIDELITY = Goal(fidelity=0.98)


def standing(**changes) -> Standing:
    made = {"images": 10_000, "calibrated": 128, "rows": 0, "fidelity": 0.97, "errors": {0: 9.0, 2: 8.0, 8: 6.0}}
    return Standing(**made | changes)


def test_full_scores_are_taken_where_products_for_all_images_cost_more():
    assert next_step(standing(images=100_000), PRICES, FIDELITY) == Step(calibrated=256)


def test_products_are_taken_where_there_are_few_images():
    assert next_step(standing(images=500), PRICES, FIDELITY).rows > 0


def test_where_products_gain_most_as_many_are_taken_as_should_reach_the_goal():
    errors = {0: 9.0, 1: 7.0, 4: 5.9, 8: 5.0}  # one gains most a second, four are enough
    assert next_step(standing(images=500, errors=errors, before=9.1), PRICES, FIDELITY) == Step(rows=4)


def test_products_that_gain_nothing_are_not_taken():
    found = next_step(standing(images=300, fidelity=0.95, errors={0: 9.0, 2: 9.0, 8: 9.5}), PRICES, FIDELITY)
    assert found == Step(calibrated=256)


def test_full_scores_that_stopped_gaining_give_way_to_products():
    assert next_step(standing(before=9.0, errors={0: 9.0, 8: 3.0}), PRICES, FIDELITY) == Step(rows=8)


def test_the_goal_is_the_end_once_enough_images_stand_behind_the_intervals():
    assert next_step(standing(fidelity=0.99), PRICES, FIDELITY) is None
    assert next_step(standing(fidelity=0.99, calibrated=20), PRICES, FIDELITY) == Step(calibrated=LEAST_CHECKED)
    assert next_step(standing(fidelity=0.99, calibrated=20, images=160), PRICES, FIDELITY) is None


def test_full_scores_count_for_the_fidelity_of_the_whole():
    half = standing(images=256, fidelity=0.965)
    assert half.overall == pytest.approx(0.9825)
    assert next_step(half, PRICES, FIDELITY) is None


def test_nothing_is_left_where_all_images_are_scored_fully():
    assert next_step(standing(calibrated=10_000), PRICES, Goal(fidelity=0.999)) is None


def test_a_quick_look_has_no_further_step():
    assert next_step(standing(), PRICES, Goal()) is None


def test_time_is_spent_but_not_overspent():
    assert next_step(standing(spent=100.0), PRICES, Goal(seconds=119.0)) is None
    some = next_step(standing(spent=100.0), PRICES, Goal(seconds=100 + 20 * 40.5))
    assert some == Step(calibrated=168)


def test_a_set_that_is_sooner_scored_fully_than_estimated_is():
    few = standing(images=200, fidelity=0.9, lap=800.0)
    assert next_step(few, PRICES, FIDELITY) == Step(calibrated=200)
    assert next_step(standing(images=200, fidelity=0.9, lap=300.0), PRICES, FIDELITY) != Step(calibrated=200)


def test_products_that_were_asked_for_come_first():
    assert next_step(standing(rows=1), PRICES, Goal(rows=4, fidelity=0.98)) == Step(rows=4)
    assert next_step(standing(rows=4), PRICES, Goal(rows=4)) is None


def test_too_few_images_are_brought_to_the_least_at_once():
    found = next_step(standing(calibrated=1, fidelity=np.nan), PRICES, FIDELITY)
    assert found == Step(calibrated=LEAST_IMAGES)


@pytest.mark.parametrize(
    ("images", "known", "expected"),
    [
        (1000, 0, LEAST_IMAGES),  # nothing to start from
        (1000, 500, 1),  # 30 s of 100 for full scores of 20 s each
        (10_000, 500, 15),
        (10, 0, 10),
    ],
)
def test_a_quick_look_scores_fully_what_a_share_of_its_time_allows(images, known, expected):
    assert quick_calibration(images, PRICES, known) == expected


def test_the_fidelity_of_a_whole_is_that_of_its_parts():
    assert allocator.overall(0.9, 0, 100) == 0.9
    assert allocator.overall(0.9, 100, 100) == 1.0

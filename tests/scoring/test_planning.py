"""Plans: in proportion to what was measured, divided among machines, and honest about what is not known."""

import math

import pytest

from jepa_core.encoders.registry import get_spec
from jepa_core.errors import JepaError
from jepa_core.scoring import forecast, planning
from jepa_core.scoring.allocator import Prices
from jepa_core.scoring.planning import MEASURED, Machines, plan


def of(encoder: str, images: int, on: str) -> planning.Plan:
    spec = get_spec(encoder)
    return plan(spec, spec.check_output(None), images, Machines.of(on))


@pytest.mark.parametrize("text", ["8 x H100", "8xH100", "8 x h100", "8*H100"])
def test_machines_are_read_as_people_write_them(text):
    assert Machines.of(text) == Machines(8, "H100")


@pytest.mark.parametrize("text", ["", "0 x H100", "8 x", "x H100", "8 x TPU", "-1 x H100"])
def test_machines_that_nobody_measured_are_told(text):
    with pytest.raises(JepaError, match=r"no speed was measured; H100, H200, AMX and here"):
        Machines.of(text)


def test_what_was_measured_comes_out_again():
    exact = of("dinov2-b14", 1_000_000, "H200").methods[0]
    assert exact.method == "exact"
    assert exact.hours == pytest.approx(1e6 * 0.141 / 3600, rel=0.01)


def test_so_many_machines_take_that_part_of_the_time_for_full_scores_alone():
    one, eight = of("dinov2-b14", 10**6, "H200"), of("dinov2-b14", 10**6, "8 x H200")
    first = {found.method: found for found in one.methods}
    many = {found.method: found for found in eight.methods}
    assert many["exact"].hours == pytest.approx(first["exact"].hours / 8)
    assert many["quick"] == first["quick"]
    assert many["exact"].files >= 8
    assert any("Estimates are made on one machine" in sentence for sentence in eight.notes)


def test_what_was_not_measured_is_not_known():
    found = of("dinov2-b14", 10**6, "H100")
    hours = {one.method: one.hours for one in found.methods}
    assert not math.isnan(hours["exact"])
    assert math.isnan(hours["quick"])
    assert any("no look was measured" in sentence for sentence in found.notes)


def test_an_encoder_far_from_what_was_measured_is_told_to_be_a_guess():
    assert any("this is a guess" in sentence for sentence in of("digits", 1000, "H200").notes)
    assert not any("this is a guess" in sentence for sentence in of("dinov2-b14", 1000, "H200").notes)


def test_here_is_by_the_speed_of_this_machine(monkeypatch):
    monkeypatch.setattr(forecast, "prices_of", lambda *_about: Prices(0.1, 0.04, 10.0))
    hours = {one.method: one.hours for one in of("digits", 10_000, "here").methods}
    assert hours["exact"] == pytest.approx(100_000 / 3600)


def test_gigabytes_grow_with_the_images_and_the_numbers_of_an_embedding():
    small, large = of("dinov2-s14", 10**6, "H200").methods[0], of("dinov2-b14", 10**6, "H200").methods[0]
    assert large.gigabytes - small.gigabytes == pytest.approx(8 * 384 * 1e6 / 1e9)


def test_each_measured_speed_has_its_source():
    assert all(one.source and one.full > 0 for found in MEASURED.values() for one in found)

"""How often each image is drawn; the intervals are held against known truths where they are used."""

import numpy as np
import pytest

from jepa_core.stats import bootstrap
from jepa_core.stats.bootstrap import times_drawn


@pytest.mark.parametrize("size", [7, 5000])  # kept, and drawn anew each time
def test_a_resample_has_as_many_images_as_there_are_each_as_likely(size):
    times, others = times_drawn(size, 3)
    assert (times.sum(axis=0) == size).all()
    assert (others.sum(axis=0) == 3).all()
    assert len(np.unique(times, axis=1).T) > 300
    # 500 draws of each image: its mean is 1 with a standard deviation of 0.045.
    assert times[:7].mean(axis=1) == pytest.approx(np.ones(7), abs=0.2)
    assert (times_drawn(size, 3)[0] == times).all()


def test_draws_do_not_depend_on_how_many_are_made_at_once(monkeypatch):
    at_once = bootstrap._drawn(40, 7)
    monkeypatch.setattr(bootstrap, "_BLOCK", 90)
    for times, same in zip(bootstrap._drawn(40, 7), at_once, strict=True):
        assert (times == same).all()

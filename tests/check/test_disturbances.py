"""Gaussians of disturbed copies: which disturbance, among them or not, and what is kept of them."""

import numpy as np
import pytest

from jepa_core.check import disturbances
from jepa_core.check.disturbances import LEAST, Disturbances
from jepa_core.datasets.disturbances import KINDS
from jepa_core.datasets.registry import get_dataset, sample
from jepa_core.errors import NotEnoughData
from jepa_core.scoring.encoder_output import EncoderOutput

RNG = np.random.default_rng(0)


def around(place: float, count: int = 400) -> np.ndarray:
    return RNG.normal(size=(count, 6)) + np.array([place, 0, 0, 0, 0, 0])


CLEAN = around(0)
KNOWN = Disturbances(CLEAN, {"dark": around(8), "blur": around(-8)})


def test_the_likeliest_disturbance_is_named_and_a_picture_lies_among_its_copies_or_not():
    dark, foreign = KNOWN.place(np.array([[8.0, 0, 0, 0, 0, 0], [8, 30, 0, 0, 0, 0]]))
    assert (dark.kind, foreign.p) == ("dark", pytest.approx(1 / 401))
    assert dark.p > 0.9
    assert KNOWN.place(np.array([[-8.0, 0, 0, 0, 0, 0]]))[0].kind == "blur"


def test_a_copy_that_was_not_fitted_on_lies_among_the_others_as_often_as_it_should():
    p = [one.p for one in KNOWN.place(around(8, 1000))]
    for share in (0.05, 0.1, 0.5):
        assert np.mean(np.array(p) <= share) == pytest.approx(share, abs=0.05)


def test_the_ratio_finds_the_disturbed_and_not_the_foreign():
    clean, dark = KNOWN.ratio(around(0)), KNOWN.ratio(around(8))
    assert dark.min() > clean.max()
    assert KNOWN.ratio(np.array([[0.0, 30, 0, 0, 0, 0]]))[0] < np.median(dark)


@pytest.mark.parametrize("copies", [{}, {"dark": around(8, LEAST - 1)}])
def test_too_few_copies_tell_nothing(copies):
    with pytest.raises(NotEnoughData, match=rf"disturbed copies of a kind; at least {LEAST} are needed"):
        Disturbances(CLEAN, copies)


def test_copies_are_made_of_each_kind_that_an_encoder_can_see_and_kept(store, tiny, monkeypatch):
    monkeypatch.setattr(disturbances, "LEAST", 3)
    output = EncoderOutput.of(tiny, "projector")
    items = sample(get_dataset("digits-test"), 4, seed=0)
    copies = disturbances.make(output, items)
    assert set(copies) == set(KINDS) - {"no colour"}  # it takes grey pictures
    assert {len(values) for values in copies.values()} == {4}
    assert disturbances.make(output, items).keys() == copies.keys()
    assert all(np.array_equal(values, disturbances.make(output, items)[kind]) for kind, values in copies.items())
    digests = [item.digest for item in items]
    assert disturbances.load(store, output, digests) == {}
    disturbances.keep(store, output, digests, copies)
    kept = disturbances.load(store, output, digests[::-1])
    assert all(np.array_equal(kept[kind], values) for kind, values in copies.items())
    assert disturbances.load(store, output, digests[:3]) == {}
    assert disturbances.make(output, items, cancelled=lambda: True) == {}
    assert disturbances.make(output, items[:2]) == {}


def test_what_ships_is_that_of_the_encoders_training_images():
    from jepa_core.encoders.registry import get_spec, list_encoders
    from jepa_core.store.results import Store
    from jepa_core.store.shipped import load_all_shipped

    store = Store()
    load_all_shipped(store)
    for name in list_encoders():
        spec = get_spec(name)
        if spec.source != "bundled":
            continue
        found = disturbances.load(
            store, EncoderOutput.of(spec), [member.digest for member in store.members(spec.training)]
        )
        assert len(found) >= len(KINDS) - 1, name
        assert all(len(values) == disturbances.COUNT for values in found.values())

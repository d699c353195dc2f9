"""What tests share: the engines of encoders with the same weights, unless a test wants its own."""

import pytest

from jepa_core.encoders.registry import load_encoder
from jepa_core.jacobian.engine import engine_of


def test_encoders_of_the_same_weights_share_an_engine_and_each_starts_with_its_first_plan(tiny) -> None:
    engine = engine_of(tiny, "projector")
    plan = engine.plan
    engine.plan = plan._replace(images=1)
    again = load_encoder("tiny", "cpu")
    assert engine_of(again, "projector") is engine
    assert engine.plan == plan


def test_an_encoder_whose_engines_were_cleared_shares_no_more(tiny) -> None:
    tiny.kept.clear()
    tiny.kept["made of other weights"] = object()
    assert "made of other weights" not in load_encoder("tiny", "cpu").kept


@pytest.mark.usefixtures("own_engines")
def test_a_test_that_asks_for_its_own_has_none_of_others(tiny) -> None:
    assert type(tiny.kept) is dict

"""A short run of `benchmarks/hostile.py`: nothing foreign is raised, and nothing costs more than is said."""

import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent.parent / "benchmarks"
COUNT = 250

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from /proc")


@pytest.fixture(scope="module")
def hostile():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import hostile

        yield hostile
    for name in ("hostile", "hostile_pictures", "hostile_archives"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["pictures", "archives"])
def test_mutated_inputs_raise_nothing_foreign_and_cost_little(hostile, share):
    found = hostile.block(range(COUNT), share)
    assert found.foreign == []
    assert found.became["accepted"] > COUNT / 20
    assert found.became["refused"] > COUNT / 20
    assert found.slowest.seconds <= hostile.SECONDS, found.slowest
    assert found.largest.megabytes <= hostile.MEGABYTES, found.largest


def test_bombs_cost_no_more_than_is_said(hostile):
    import hostile_pictures

    for name, data in hostile_pictures.bombs(small=True):
        cost = hostile.bomb(name, data, is_archive=False)
        assert cost.became in ("accepted", "refused"), cost
        assert cost.seconds <= hostile.SECONDS, cost
        assert cost.megabytes <= hostile.MEGABYTES, cost


def test_what_raises_something_else_is_counted_and_shown(hostile, monkeypatch):
    monkeypatch.setattr(hostile, "decode", lambda _name, _data: 1 / 0)
    found = hostile.block(range(3), 0.0)
    assert [cost.became for cost in found.foreign] == ["ZeroDivisionError: division by zero"] * 3
    assert "seed 0" in found.foreign[0].name

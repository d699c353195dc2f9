"""What is said of several checked pictures at once."""

from dataclasses import replace

import pandas as pd
import pytest
from PIL import Image

from jepa_core.check.evidence import Checked, Outcome
from jepa_core.check.summary import most_unusual_first, summary
from jepa_core.check.verdict import Verdict, VerdictKind, smallest_p_value
from jepa_core.stats.conformal import Place


def place(percentile: float, p: float) -> Place:
    return Place(0.0, 400, percentile, percentile, percentile, p / 2, p)


def checked(name: str, kind: VerdictKind, percentile: float = 50.0, p: float = 1.0) -> Checked:
    empty = pd.DataFrame()
    verdict = Verdict(kind, "", ())
    places = {"jepa": place(percentile, p), "norm": place(50.0, 0.001)}
    return Checked(name, Image.new("L", (1, 1)), (), pd.Series(), places, None, empty, verdict, empty, empty, empty)


def test_the_verdict_comes_first_then_the_smallest_p_value_then_the_score():
    items = [
        checked("ordinary", VerdictKind.IN_DISTRIBUTION, p=0.9),
        checked("foreign, less so", VerdictKind.OUT_OF_DISTRIBUTION, 2.0, p=0.01),
        checked("look", VerdictKind.REVIEW, p=0.001),
        checked("foreign, unlikely", VerdictKind.OUT_OF_DISTRIBUTION, 1.0, p=0.005),
        checked("foreign, likely", VerdictKind.OUT_OF_DISTRIBUTION, 99.0, p=0.005),
    ]
    assert [item.name for item in most_unusual_first(items)] == [
        "foreign, unlikely",
        "foreign, likely",
        "foreign, less so",
        "look",
        "ordinary",
    ]


def test_only_methods_that_the_verdict_asks_make_a_picture_strange():
    item = checked("a", VerdictKind.IN_DISTRIBUTION, p=0.4)
    assert smallest_p_value(item.places) == 0.4
    assert smallest_p_value(item.places | {"plain": replace(place(1.0, 0.5), p_lower=0.02)}) == 0.02


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (
            [VerdictKind.OUT_OF_DISTRIBUTION] * 3 + [VerdictKind.IN_DISTRIBUTION] * 9,
            "3 of 12 look out of distribution, 9 show nothing unusual.",
        ),
        (
            [VerdictKind.IN_DISTRIBUTION, VerdictKind.OUT_OF_DISTRIBUTION, VerdictKind.REVIEW],
            "1 of 3 looks out of distribution, 1 deserves a second look, 1 shows nothing unusual.",
        ),
        ([VerdictKind.UNKNOWN] * 2, "2 of 2 cannot be judged."),
    ],
)
def test_the_verdicts_are_counted_the_most_serious_first(kinds, words):
    assert summary(Outcome([checked(str(place), kind) for place, kind in enumerate(kinds)], [])) == words

"""What is said of several checked pictures at once."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from jepa_core.check.combined import Combined
from jepa_core.check.evidence import Checked, Outcome
from jepa_core.check.summary import most_unusual_first, summary
from jepa_core.check.verdict import Findings, Verdict, VerdictKind
from jepa_core.stats.conformal import Place


def checked(name: str, kind: VerdictKind, p: float = 1.0, distance: float = 1.0) -> Checked:
    empty = pd.DataFrame()
    findings = Findings(
        Combined(p, {"joint": p}), {"joint": Place(-distance, 400, 50.0, 50.0, 50.0, p, p)}, (), None, None, ""
    )
    picture, verdict = Image.new("L", (1, 1)), Verdict(kind, "", ())
    return Checked(name, picture, (), pd.Series(), findings, empty, np.empty(0), verdict, empty, empty, empty)


def test_the_verdict_comes_first_then_the_p_value_then_the_distance():
    items = [
        checked("ordinary", VerdictKind.IN_DISTRIBUTION, 0.9),
        checked("foreign, less so", VerdictKind.OUT_OF_DISTRIBUTION, 0.01, 9.0),
        checked("dark", VerdictKind.DISTURBED, 0.001),
        checked("look", VerdictKind.REVIEW, 0.001),
        checked("foreign, near", VerdictKind.OUT_OF_DISTRIBUTION, 0.005, 3.0),
        checked("foreign, far", VerdictKind.OUT_OF_DISTRIBUTION, 0.005, 5.0),
    ]
    assert [item.name for item in most_unusual_first(items)] == [
        "foreign, far",
        "foreign, near",
        "foreign, less so",
        "dark",
        "look",
        "ordinary",
    ]


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

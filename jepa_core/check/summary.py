"""What is said of several checked pictures at once: a sentence, and which to look at first."""

from jepa_core.check.evidence import Checked, Outcome, outcome_table
from jepa_core.check.verdict import VerdictKind, smallest_p_value
from jepa_core.stats.conformal import ALPHA

_ORDER = (VerdictKind.OUT_OF_DISTRIBUTION, VerdictKind.REVIEW, VerdictKind.UNKNOWN, VerdictKind.IN_DISTRIBUTION)
_SAID = {
    VerdictKind.OUT_OF_DISTRIBUTION: ("looks out of distribution", "look out of distribution"),
    VerdictKind.REVIEW: ("deserves a second look", "deserve a second look"),
    VerdictKind.UNKNOWN: ("cannot be judged", "cannot be judged"),
    VerdictKind.IN_DISTRIBUTION: ("shows nothing unusual", "show nothing unusual"),
}


def most_unusual_first(checked: list[Checked]) -> list[Checked]:
    """By verdict, then by the smallest p-value of the methods that are asked, then by how unlikely the score is."""
    return sorted(
        checked,
        key=lambda item: (
            _ORDER.index(item.verdict.kind),
            smallest_p_value(item.places),
            item.places["jepa"].percentile,
            item.name,
        ),
    )


def summary(outcome: Outcome) -> str:
    """How many of the pictures got which verdict: "3 of 12 look out of distribution, 9 show nothing unusual."."""
    kinds = [item.verdict.kind for item in outcome.checked]
    parts = [
        f"{count} {_SAID[kind][count > 1]}" if place else f"{count} of {len(kinds)} {_SAID[kind][count > 1]}"
        for place, (kind, count) in enumerate((one, kinds.count(one)) for one in _ORDER if one in kinds)
    ]
    return f"{', '.join(parts)}."


def together(outcome: Outcome) -> str:
    """What is left of the unlikely scores once it is allowed for that so many pictures were looked at."""
    unlikely = int((outcome_table(outcome)["p_unlikely_adjusted"] <= ALPHA).sum())
    count = len(outcome.checked)
    return (
        f"Of {count} pictures that belong, at most {ALPHA * count:.1f} on average would be called unusual by chance. "
        f"By the score alone, {unlikely} of {count} are unlikely once that is allowed for (Benjamini-Hochberg, 5 %)."
    )

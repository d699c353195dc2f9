"""What is said of several checked pictures at once: a sentence, and which to look at first."""

from jepa_core.check.evidence import Checked, Outcome, outcome_table
from jepa_core.check.verdict import VerdictKind
from jepa_core.stats.conformal import ALPHA

_ORDER = (
    VerdictKind.OUT_OF_DISTRIBUTION,
    VerdictKind.DISTURBED,
    VerdictKind.REVIEW,
    VerdictKind.UNKNOWN,
    VerdictKind.IN_DISTRIBUTION,
)
_SAID = {
    VerdictKind.OUT_OF_DISTRIBUTION: ("looks out of distribution", "look out of distribution"),
    VerdictKind.DISTURBED: ("looks disturbed", "look disturbed"),
    VerdictKind.REVIEW: ("deserves a second look", "deserve a second look"),
    VerdictKind.UNKNOWN: ("cannot be judged", "cannot be judged"),
    VerdictKind.IN_DISTRIBUTION: ("shows nothing unusual", "show nothing unusual"),
}


def most_unusual_first(checked: list[Checked]) -> list[Checked]:
    """By verdict, then by the p-value of all methods together, then by how far out the layers and the embedding lie."""
    return sorted(
        checked,
        key=lambda item: (
            _ORDER.index(item.verdict.kind),
            item.findings.combined.p if item.findings.combined else 1.0,
            -max((-place.score for name, place in item.places.items() if name in ("joint", "knn")), default=0.0),
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
    """What is left of the verdicts once it is allowed for that so many pictures were looked at."""
    unusual = int((outcome_table(outcome)["p_adjusted"].astype(float) <= ALPHA).sum())
    count = len(outcome.checked)
    return (
        f"Of {count} pictures that belong, {ALPHA * count:.1f} on average would be called something by chance; "
        f"{unusual} of {count} are once that is allowed for (Benjamini-Hochberg, 5 %)."
    )

"""A scoring run: images x encoder output -> rows in the store. Resumable, and nothing is scored twice.

It decides what its method leaves open, and scores what the store lacks: fully (`jepa_core.scoring.exact`), or by
estimates that grow sharper (`jepa_core.scoring.estimation`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jepa_core.datasets.spec import DatasetSpec, Item
from jepa_core.progress import Cancelled, Progress, never, silent
from jepa_core.scoring import estimation, exact, precision, rank_findings
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.image_run import ImageRun, RunSummary
from jepa_core.scoring.method import Goal, ScoringMethod
from jepa_core.scoring.stored import stored_scores
from jepa_core.stats.rank_correlation import spearman
from jepa_core.store.results import Store


@dataclass(frozen=True, eq=False)
class ScoringRun(ImageRun[Store]):
    """What is to be scored, how, and who is told of it. `score` does it.

    Attributes: those of `ImageRun`, and
        reason: of a run that is `decided`, why it has its precision; "" where there is nothing to say.
    """

    reason: str = ""

    @classmethod
    def of_dataset(
        cls,
        store: Store,
        output: EncoderOutput,
        dataset: DatasetSpec,
        method: ScoringMethod,
        label: str | None = None,
        progress: Progress = silent,
        cancelled: Cancelled = never,
    ) -> "ScoringRun":
        """The run over a dataset, or over a class of it, by the method that it allows."""
        method, items = method.for_dataset(dataset), list(dataset.items(label))
        return cls(store, output, dataset.name, items, method, label is None, progress, cancelled)

    def decided(self) -> "ScoringRun":
        """The run with a precision, and the reason for it; an open one may take scoring some images both ways.

        Where a person chose the precision, the reason is what is slow about it.
        """
        if self.method.precision != "auto":
            reason = self.reason or precision.slow_in_words(self.method.precision, self.output.loaded.device)
            return replace(self, reason=reason)
        chosen = precision.choose(self.store, self.output, self.dataset, self.items, self._agreement)
        return replace(self, method=replace(self.method, precision=chosen.precision), reason=chosen.reason)

    def score(self) -> RunSummary:
        """Score the images that the store lacks, after deciding what is open; estimates go on towards their goal."""
        run = self.decided()
        summary = exact.score_fully(run) if run.method.name == "exact" else estimation.estimate(run)
        if run.method.decided == "fp32":  # with less, noise hides what the rank leaves out
            summary.tell(rank_findings.confirm(self.store, self.output, self.dataset))
        return summary

    def restricted_to(self, names: set[str]) -> "ScoringRun":
        """The run that scores only these of its images, and fully."""
        items = [item for item in self.items if item.name in names]
        return replace(self, items=items, method=replace(self.method, name="exact", goal=Goal()), whole=False)

    def _agreement(self, items: Sequence[Item]) -> float | None:
        """Spearman's correlation of both precisions' scores; None where fewer than half of the images have both."""
        scores = []
        for each in (ScoringMethod(precision="fp32"), ScoringMethod(precision="bf16")):
            replace(self, items=items, method=each, whole=False, progress=silent).score()
            table = stored_scores(self.store, self.output, self.dataset, each)
            scores.append(table.set_index("name")["jepa_score"])
        common = scores[0].index.intersection(scores[1].index).intersection([item.name for item in items])
        if len(common) < len(items) // 2:
            return None
        return spearman(scores[0][common].to_numpy(), scores[1][common].to_numpy())

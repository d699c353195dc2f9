"""Estimates that are useful after the first lap and grow sharper: forward passes, then what gains most a second.

A lap ends with estimates of all images in the store, so a page can show them while the next lap is on its way. What has
been found out is in the store as well (full scores, looks, how far the run has come), so a run that is stopped goes on
where it was, and one with a higher goal starts where the lower one ended.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from jepa_core.datasets.spec import Item
from jepa_core.keys import make_key
from jepa_core.progress import silent
from jepa_core.scoring import allocator, calibration, looks, pool
from jepa_core.scoring.allocator import Prices, Standing
from jepa_core.scoring.batches import Grams, exact_work, look_work, products_work, squared_norm
from jepa_core.scoring.calibration import Calibration
from jepa_core.scoring.exact import put_full, score_fully
from jepa_core.scoring.forward_pass import look_at_missing
from jepa_core.scoring.image_run import ImageRun, RunSummary
from jepa_core.scoring.method import LEAST_IMAGES
from jepa_core.store import sketches
from jepa_core.store.records import Estimate, Look
from jepa_core.store.results import Store

_TIMED = 8  # images whose forward passes are timed where none is to be made


def estimate(run: ImageRun[Store]) -> RunSummary:
    """Estimate the scores of a run's images towards the goal of its method; what is scored fully keeps its score."""
    return _Laps(run).run()


def refresh(run: ImageRun[Store]) -> None:
    """Estimate anew by what is known now: full scores that came for another reason teach something, too."""
    _Laps(run).lap()


def check(run: ImageRun[Store]) -> None:
    """Score fully as many images, drawn at random, as intervals need that are worth something."""
    laps = _Laps(run)
    wanted = min(LEAST_IMAGES, len(laps.order))
    if laps.state.drawn < wanted:
        laps.calibrate(wanted)
        laps.lap()


class _Laps:
    """One run: what it has found out so far, and its laps."""

    def __init__(self, run: ImageRun[Store]) -> None:
        self.job, self.precision, self.goal = run, run.method.decided, run.method.goal
        self.store, self.output = run.store, run.output
        self.exact = run.output.config(self.precision)
        # By name alone, so that an image which comes or goes leaves the others where they were.
        self.order: list[Item] = sorted(run.items, key=lambda item: make_key("calibration", item.name))
        self.state = looks.progressed(self.store, self.output, self.precision, run.dataset)
        self.summary = RunSummary()
        self.began = time.perf_counter()
        self.prices = Prices(self.state.look, self.state.product, 0.0)
        self.measured_full = False
        self.lap_seconds = 0.0
        self.looked_at = 0

    def run(self) -> RunSummary:
        """All laps."""
        names = {item.name for item in self.job.items}
        if names <= self.store.scored(self.exact, self.job.dataset).keys():  # nothing is left to estimate
            return score_fully(self.job)
        if self._pool() < LEAST_IMAGES and not self.state.drawn:  # nothing to estimate from yet
            self.calibrate(min(LEAST_IMAGES, len(self.order)))
        self._look()
        fitted = None if self.job.cancelled() else self._first_lap()
        if self.goal.quick and fitted:
            wanted = allocator.quick_calibration(len(self.order), self.prices, self._pool())
            if wanted > self.state.drawn and not self.job.cancelled():
                self.calibrate(wanted)
                fitted = self.lap()
        if self.goal.rows and fitted:
            self.goal = replace(self.goal, rows=min(self.goal.rows, self.known.pivots.shape[1]))
        before = np.nan
        while fitted and not self.job.cancelled():
            standing = self._standing(fitted, before)
            step = allocator.next_step(standing, self.prices, self.goal)
            if step is None or (step.calibrated and step.calibrated <= self.state.drawn):
                break
            before = standing.errors[standing.rows] if step.calibrated else np.nan
            if step.calibrated:
                self.calibrate(step.calibrated)
            else:
                self._multiply(step.rows)
            if not self.job.cancelled():
                fitted = self.lap()
        self.summary.cancelled |= self.job.cancelled()
        self.summary.seconds = time.perf_counter() - self.began
        return self.summary

    def _first_lap(self) -> Calibration | None:
        """A lap, after as many full scores as it takes: equal images and failed ones leave fewer than were drawn."""
        fitted = self.lap()
        while fitted is None and self.looked_at and self.state.drawn < len(self.order) and not self.job.cancelled():
            self.calibrate(min(max(2 * self.state.drawn, LEAST_IMAGES), len(self.order)))
            fitted = self.lap()
        return fitted

    # --- steps --------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """A forward pass for each image that has had none."""
        began = time.perf_counter()
        done = look_at_missing(self.job)
        self._add(done)
        self.summary.reused = done.reused
        seconds = time.perf_counter() - began
        if not done.scored and not done.cancelled and not self.prices.look:  # another set had the same images
            began = time.perf_counter()
            done = replace(self.job, items=self.order[:_TIMED], whole=False, progress=silent).do(
                look_work(self.output), lambda _some: set(), lambda _found: None
            )
            seconds = time.perf_counter() - began
        if done.scored or not self.measured_full:
            self.prices = self._priced(seconds / done.scored if done.scored else self.prices.look)

    def _priced(self, look: float) -> Prices:
        product = self.prices.product or allocator.PRODUCT_SHARE * look
        return Prices(look, product, self.prices.full if self.measured_full else look + self.output.k * product)

    def calibrate(self, wanted: int) -> None:
        """Full scores of the first `wanted` images in the random order, with looks that have all there is."""
        items, began = self.order[:wanted], time.perf_counter()
        directions = looks.kept_directions(self.store, self.output)
        first = Grams([], []) if directions is None else None
        done = replace(self.job, items=items, whole=False).do(
            exact_work(self.output, self.precision, keep=first, directions=directions),
            self._fully_known,
            lambda results: put_full(self.store, self.output, self.precision, results, directions),
        )
        self._add(done)
        if done.scored:
            seconds = (time.perf_counter() - began) / done.scored
            self.prices, self.measured_full = replace(self.prices, full=seconds), True
        if first and first.grams and not done.cancelled:
            self._choose_directions(first)
        if not done.cancelled:
            self._keep(replace(self.state, drawn=max(self.state.drawn, wanted)))

    def _fully_known(self, digests: Sequence[str]) -> set[str]:
        """Of which images a full score, a look and the pivots are there, or the score where there are no directions."""
        scored = self.store.done(self.exact, digests)
        looked = sketches.measured(self.store, looks.sizes_space(self.output), digests)
        directions = looks.kept_directions(self.store, self.output)
        if directions is None:
            return scored & looked
        return (
            scored
            & looked
            & sketches.measured(self.store, looks.pivots_space(self.output, self.precision, directions), digests)
        )

    def _choose_directions(self, first: Grams) -> None:
        """The directions by the first Grams, whose images get their pivots at once."""
        from jepa_core.jacobian import sketch

        directions = looks.choose_directions(self.store, self.output, first.grams)
        pivots = sketch.log_pivots(np.stack([directions @ gram @ directions.T for gram in first.grams]))
        space = looks.pivots_space(self.output, self.precision, directions)
        self.store.put_measures(space, dict(zip(first.digests, pivots, strict=True)))

    def _first_directions(self) -> np.ndarray | None:
        """Directions by the Grams of a few images, scored again for it; None where it was cancelled or all failed."""
        first = Grams([], [])
        replace(self.job, items=self.order[:LEAST_IMAGES], whole=False).do(
            exact_work(self.output, self.precision, keep=first),
            lambda _digests: set(),
            lambda results: put_full(self.store, self.output, self.precision, results, None),
        )
        if not first.grams or self.job.cancelled():
            return None
        self._choose_directions(first)
        return looks.kept_directions(self.store, self.output)

    def _multiply(self, rows: int) -> None:
        """`rows` products for each image."""
        directions = looks.kept_directions(self.store, self.output)
        if directions is None:  # what is known of this output was scored without any
            directions = self._first_directions()
        if directions is None:
            return
        rows = min(rows, len(directions))
        space, began = looks.pivots_space(self.output, self.precision, directions), time.perf_counter()

        def there(digests: Sequence[str]) -> set[str]:
            found = self.store.measures(space, digests)
            return {digest for digest, pivots in found.items() if len(pivots) >= rows}

        def put(found: list[Look]) -> None:
            with self.store.transaction():
                sketches.put_looks(self.store, self.output.space, looks.sizes_space(self.output), found)
                self.store.put_measures(space, {look.digest: look.pivots for look in found})

        done = self.job.do(products_work(self.output, directions[:rows], self.precision), there, put)
        self._add(done)
        if done.scored:
            seconds = (time.perf_counter() - began) / done.scored
            self.prices = replace(self.prices, product=max(seconds - self.prices.look, 0.0) / rows)
        if not done.cancelled:
            self._keep(replace(self.state, rows=rows))

    # --- laps ---------------------------------------------------------------------------------------------------------

    def lap(self) -> Calibration | None:
        """Estimates of all images by what is known now; None where too little is."""
        self.job.progress(0, 0)  # what comes now has no steps
        began = time.perf_counter()
        members = {member.name: member.digest for member in self.store.members(self.job.dataset)}
        digests = list(dict.fromkeys(members[item.name] for item in self.job.items if item.name in members))
        self.looked_at = len(sketches.measured(self.store, looks.sizes_space(self.output), digests))
        if not self.looked_at:
            return None
        drawn = [members[item.name] for item in self.order[: self.state.drawn] if item.name in members]
        self.known = calibration.known(self.store, self.output, self.precision, drawn, digests)
        fitted = calibration.calibrate(self.known, self.state.rows)
        if fitted is None:
            return None
        full = self.store.done(self.exact, digests)
        self._put_estimates(fitted, [digest for digest in digests if digest not in full])
        fidelity = allocator.overall(fitted.fidelity, min(self.state.drawn, len(self.order)), len(self.order))
        fidelity = fidelity if np.isfinite(fidelity) else 0.0
        self._keep(replace(self.state, fidelity=fidelity))
        self.lap_seconds = time.perf_counter() - began
        return fitted

    def _keep(self, state: looks.Progressed) -> None:
        """Remember how far the run has come, for the next one."""
        self.state = replace(state, look=self.prices.look, product=self.prices.product)
        told = {name: np.array(value) for name, value in asdict(self.state).items()}
        sketches.put_arrays(self.store, looks.estimates_config(self.output, self.precision, self.job.dataset).key, told)

    def _put_estimates(self, fitted: Calibration, digests: list[str]) -> None:
        config = looks.estimates_config(self.output, self.precision, self.job.dataset)
        device, seconds = self.output.loaded.device, self.prices.products(fitted.rows)
        for at in range(0, len(digests), calibration.BLOCK):
            part = digests[at : at + calibration.BLOCK]
            sizes = self.store.measures(looks.sizes_space(self.output), part)
            part = [digest for digest in part if digest in sizes]
            features = calibration.features_of(self.store, self.output, part, sizes)
            pivots = calibration.pivots_of(self.store, self.output, self.precision, part)
            there = np.isfinite(pivots[:, : fitted.rows]).all(axis=1)
            scores, halves = fitted.estimate(features[there], pivots[there])
            found = [digest for digest, yes in zip(part, there, strict=True) if yes]
            embeddings = self.store.embeddings(self.output.space, found)
            sketches.put_estimates(
                self.store,
                config,
                [
                    Estimate(
                        digest=digest,
                        score=float(score),
                        low=float(score - half),
                        high=float(score + half),
                        far=bool(half > fitted.quantile * fitted.far),
                        squared_norm=squared_norm(embedding),
                        seconds=seconds,
                        device=device,
                    )
                    for digest, score, half, embedding in zip(found, scores, halves, embeddings, strict=True)
                ],
            )

    def _standing(self, fitted: Calibration, before: float) -> Standing:
        began, errors = time.perf_counter(), {fitted.rows: fitted.error}
        if not self.goal.quick:
            errors = calibration.errors_by_rows(self.known, fitted)
        return Standing(
            images=len(self.order),
            calibrated=max(self.state.drawn, fitted.drawn),  # equal images and failed ones are behind it, too
            rows=fitted.rows,
            fidelity=fitted.fidelity,
            errors=errors,
            before=before,
            spent=time.perf_counter() - self.began,
            lap=self.lap_seconds + time.perf_counter() - began,
        )

    def _pool(self) -> int:
        """How many full scores of other sets there are to estimate from."""
        if found := pool.shipped(self.output):
            return len(found.scores)
        own = {member.digest for member in self.store.members(self.job.dataset)}
        space, most = looks.sizes_space(self.output), calibration.POOL + len(own)
        return len(set(sketches.scored_with_measures(self.store, self.exact, space, most)) - own)

    def _add(self, done: RunSummary) -> None:
        """Put a step's account into the run's: an image counts once, whatever is done with it."""
        self.summary.scored = max(self.summary.scored, done.scored)
        self.summary.cancelled |= done.cancelled
        failed = dict(self.summary.failed)
        self.summary.failed += [(name, why) for name, why in done.failed if name not in failed]
        for note in done.notes:
            if note not in self.summary.notes:
                self.summary.tell(note)

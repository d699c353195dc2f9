"""The benchmark of curation: pictures are planted into a set, and each order of a review is asked for them.

Three classes of the set are drawn, and into each class 5 % of its number are planted: foreign pictures (of one set, of
all sets mixed, and of all mixed after they were brought to the set's size and packed like photos), or so many of its
own pictures are disturbed, or get another one of the three classes. With N planted pictures an order has

    precision = the planted share of its first N,    recall = the share of the planted that is among its first 1.5 N,

each the mean over the draws, with the middle 90 % of them as its interval. Copies are planted into the whole set: a
pair is found where the copy is said to be one of its original, false where it is said to be one of something else, and

    precision = found / (found + false),    recall = found / planted.

Pairs among the set's own pictures are counted by themselves: whether they are copies is for a person to see.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy import ndarray
from scipy.stats import binomtest

from jepa_core import images
from jepa_core.analysis import duplicates, picture_facts, planting, review_evidence
from jepa_core.analysis.picture_facts import Facts
from jepa_core.analysis.planting import Made
from jepa_core.analysis.review_evidence import Evidence
from jepa_core.analysis.review_orders import LEAST_CLASS, ORDERS, ranked
from jepa_core.datasets.spec import DatasetSpec, Item
from jepa_core.errors import NotEnoughData
from jepa_core.files import temporary_folder
from jepa_core.progress import Progress, silent
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod
from jepa_core.scoring.run import ScoringRun
from jepa_core.stats.bootstrap import LEVEL, interval
from jepa_core.store.results import Store

CLASSES = 3
SHARE = 0.05
"""Of a class, what is planted into it."""
LONGER = 1.5
"""How much longer than the number planted the list is that recall is taken of."""
COPIED = 140
"""Pictures that are copied, at most."""
_POOL = 3  # times what one draw disturbs


@dataclass(frozen=True, eq=False)
class Curation:
    """What was found.

    `table`: set, encoder, planted, kind, order, images, count, precision and recall with _low and _high; `notes` are
    sentences.
    """

    table: pd.DataFrame
    notes: list[str] = field(default_factory=list)


def benchmark(
    store: Store,
    output: EncoderOutput,
    host: DatasetSpec,
    foreign: Sequence[DatasetSpec],
    draws: int = 10,
    progress: Progress = silent,
) -> Curation:
    """Plant foreign pictures, disturbed ones and copies into `host`, and ask each order for them.

    `output` is of a loaded encoder. Orders made of full scores take part where the store has scores of all pictures.
    Raises `NotEnoughData` where the host has no class of `LEAST_CLASS` images.
    """
    for dataset in (host, *foreign):
        review_evidence.gather(store, output, dataset, progress)
    own = review_evidence.load(store, output, store.members(host.name))
    planted = {dataset.title: review_evidence.load(store, output, store.members(dataset.name)) for dataset in foreign}
    names, sizes = np.unique(own.labels.astype(str), return_counts=True)
    large = names[sizes >= LEAST_CLASS]
    if not len(large):
        raise NotEnoughData(
            f"{host.title} has no class of {LEAST_CLASS} readable images, which curation is measured on; give another."
        )
    with temporary_folder() as folder:
        pools = Pools(Store(folder / "planted.sqlite"), output, bool(own.scored.all()))
        disturbed, made = pools.disturbed(host, own, large)
        dressed, _made = pools.resized(foreign, own)
        lines = []
        scenarios = [("foreign", title, [one]) for title, one in planted.items()]
        scenarios += [("foreign", "all mixed", list(planted.values())), ("foreign", "all mixed, resized", [dressed])]
        for number, (what, kind, pool) in enumerate(scenarios):
            found = [draw_foreign(own, large, pool, seed) for seed in range(draws)]
            lines += _lines(what, kind, found)
            progress(number + 1, len(scenarios) + 2)
        found = [_draw_disturbed(own, large, disturbed, made, seed) for seed in range(draws)]
        lines += _lines("disturbed", "all kinds in turn", found)
        if len(large) > 1:
            lines += _lines(
                "wrong class", "another of the three", [_draw_misled(own, large, seed) for seed in range(draws)]
            )
        progress(len(scenarios) + 1, len(scenarios) + 2)
    copies, notes = _copies(host, own)
    progress(len(scenarios) + 2, len(scenarios) + 2)
    table = pd.DataFrame(lines + copies)
    table.insert(0, "encoder", str(output))
    table.insert(0, "set", host.title)
    return Curation(table, notes)


# --- what is planted --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Pools:
    """Pictures made for planting, with their evidence in a store that is thrown away."""

    store: Store
    output: EncoderOutput
    scored: bool  # whether their full scores are wanted

    def disturbed(self, host: DatasetSpec, own: Evidence, large: ndarray) -> tuple[Evidence, list[Made]]:
        """Some pictures of each class, disturbed."""
        rng, items = np.random.default_rng(0), []
        for label in large:
            places = np.flatnonzero(own.labels == label)
            count = min(len(places), max(1, round(_POOL * SHARE * len(places))))
            items += [host.item(own.members[place].position) for place in rng.choice(places, count, replace=False)]
        made = planting.disturbed([items[place] for place in rng.permutation(len(items))], rng)
        return self._evidence(made, "disturbed"), made

    def resized(self, foreign: Sequence[DatasetSpec], own: Evidence) -> tuple[Evidence, list[Made]]:
        """Some pictures of each foreign set in the size that is usual among the host's."""
        rng = np.random.default_rng(1)
        size = int(np.median([one.width for one in own.facts])), int(np.median([one.height for one in own.facts]))
        each = max(20, round(len(own) * SHARE))
        made: list[Made] = []
        for dataset in foreign:
            places = rng.choice(len(dataset), min(each, len(dataset)), replace=False)
            made += planting.resized([dataset.item(int(place)) for place in places], size, dataset.title)
        return self._evidence(made, "resized"), made

    def _evidence(self, made: list[Made], name: str) -> Evidence:
        dataset = planting.dataset_of(made, name)
        if self.scored:
            ScoringRun.of_dataset(self.store, self.output, dataset, ScoringMethod()).score()
        review_evidence.gather(self.store, self.output, dataset)
        return review_evidence.load(self.store, self.output, self.store.members(name))


def _classes(large: ndarray, seed: int) -> ndarray:
    return np.random.default_rng(seed).choice(large, min(CLASSES, len(large)), replace=False)


_Drawn = tuple[Evidence, ndarray]
"""A set, and which of its pictures were planted."""


def draw_foreign(own: Evidence, large: ndarray, pool: Sequence[Evidence], seed: int) -> _Drawn:
    """Three classes (of `large`, names) of a set with foreign pictures in each, and which those are."""
    rng, parts, marks = np.random.default_rng(seed), [], []
    for label in _classes(large, seed):
        places = np.flatnonzero(own.labels == label)
        parts.append(own.only(places))
        marks.append(np.zeros(len(places), dtype=bool))
        sources = rng.integers(len(pool), size=max(1, round(SHARE * len(places))))
        for number, count in zip(*np.unique(sources, return_counts=True), strict=True):
            chosen = rng.choice(len(pool[number]), min(count, len(pool[number])), replace=False)
            parts.append(pool[number].only(chosen).labelled([str(label)] * len(chosen)))
            marks.append(np.ones(len(chosen), dtype=bool))
    return review_evidence.joined(parts), np.concatenate(marks)


def _draw_disturbed(own: Evidence, large: ndarray, pool: Evidence, made: Sequence[Made], seed: int) -> _Drawn:
    """Disturbed pictures in the place of those that they were made of."""
    rng, parts, marks = np.random.default_rng(seed), [], []
    positions = np.array([member.position for member in own.members])
    origins = np.array([made[member.position].origin for member in pool.members])
    for label in _classes(large, seed):
        places, there = np.flatnonzero(own.labels == label), np.flatnonzero(pool.labels == label)
        chosen = rng.choice(there, min(len(there), max(1, round(SHARE * len(places)))), replace=False)
        left = places[~np.isin(positions[places], origins[chosen])]
        parts += [own.only(left), pool.only(chosen)]
        marks += [np.zeros(len(left), dtype=bool), np.ones(len(chosen), dtype=bool)]
    return review_evidence.joined(parts), np.concatenate(marks)


def _draw_misled(own: Evidence, large: ndarray, seed: int) -> _Drawn:
    """Pictures with another one of the drawn classes."""
    rng, classes = np.random.default_rng(seed), _classes(large, seed)
    chosen = own.only(np.flatnonzero(np.isin(own.labels.astype(str), classes)))
    labels, marks = chosen.labels.copy(), np.zeros(len(chosen), dtype=bool)
    for label in classes:
        places = np.flatnonzero(chosen.labels == label)
        moved = rng.choice(places, max(1, round(SHARE * len(places))), replace=False)
        labels[moved] = rng.choice(classes[classes != label], len(moved))
        marks[moved] = True
    return chosen.labelled(labels.tolist()), marks


# --- what is found ----------------------------------------------------------------------------------------------------


def _lines(what: str, kind: str, drawn: Sequence[_Drawn]) -> list[dict[str, object]]:
    """One for each order that has a value for every picture."""
    lines = []
    for name, order in ORDERS.items():
        if order.needs and not all(evidence.scored.all() for evidence, _planted in drawn):
            continue
        hits = np.array([_hits(order.of(evidence), planted) for evidence, planted in drawn])
        lines.append(
            {"planted": what, "kind": kind, "order": name}
            | {"images": round(np.mean([len(planted) for _evidence, planted in drawn]))}
            | {"count": round(np.mean([planted.sum() for _evidence, planted in drawn]))}
            | _with_interval("precision", hits[:, 0])
            | _with_interval("recall", hits[:, 1])
        )
    return lines


def _hits(values: ndarray, planted: ndarray) -> tuple[float, float]:
    """Precision among the first N, and recall among the first 1.5 N, of N planted pictures."""
    places, count = ranked(values), int(planted.sum())
    return float(planted[places[:count]].mean()), float(planted[places[: round(LONGER * count)]].sum() / count)


def _with_interval(name: str, values: ndarray) -> dict[str, float]:
    low, high = interval(values)
    return {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}


def _copies(host: DatasetSpec, own: Evidence) -> tuple[list[dict[str, object]], list[str]]:
    """A line for each kind of copy and one for all, and a sentence on pairs among the set's own pictures."""
    rng = np.random.default_rng(2)
    places = rng.permutation(len(own))[: min(COPIED, len(own))]
    items: list[Item] = [host.item(own.members[place].position) for place in places]
    made = planting.copied(items, rng)
    digests = [member.digest for member in own.members]
    facts = [facts_of(one) for one in made]
    alone = duplicates.find(digests, own.facts)
    found = duplicates.find([*digests, *(f"copy {place}" for place in range(len(made)))], [*own.facts, *facts])
    told = {(pair.first, pair.second) for pair in found.pairs}
    known = {(pair.first, pair.second) for pair in alone.pairs}
    equal = {pair.second: pair.first for pair in alone.pairs if pair.kind in ("same file", "same pixels")}
    alike = _alike(known)
    lines = []
    for kind in (*planting.COPIES, "all kinds"):
        rows = [place for place, one in enumerate(made) if kind in (one.kind, "all kinds")]
        hit = false = 0
        for row in rows:
            origin = equal.get(int(places[row]), int(places[row]))
            others = {first for first, second in told if second == len(own) + row and first < len(own)}
            hit += origin in others
            false += len(others - alike.get(origin, {origin}))
        lines.append(_copy_line(kind, len(own), len(rows), hit, false))
    note = (
        f"{len(known)} pairs of the set's own {len(own)} pictures are said to be copies; {alone.untold} pictures are "
        "too small, too plain or too much of one kind for a hash to tell."
    )
    return lines, [note]


def facts_of(made: Made) -> Facts:
    """The facts of a picture that was made."""
    return picture_facts.read(picture_facts.look_at(images.decode(made.data).image))


def _alike(pairs: set[tuple[int, int]]) -> dict[int, set[int]]:
    """Each picture of a pair, and those that it is said to be like: a copy of one is a copy of the others, too."""
    found: dict[int, set[int]] = {}
    for first, second in pairs:
        found.setdefault(first, {first}).add(second)
        found.setdefault(second, {second}).add(first)
    return found


def _copy_line(kind: str, total: int, count: int, hit: int, false: int) -> dict[str, object]:
    line: dict[str, object] = {"planted": "copies", "kind": kind, "order": "copies", "images": total, "count": count}
    return line | _share("precision", hit, hit + false) | _share("recall", hit, count)


def _share(name: str, hit: int, of: int) -> dict[str, float]:
    """A share with its Clopper-Pearson interval."""
    if not of:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), 0.0)
    ends = binomtest(hit, of).proportion_ci(LEVEL, method="exact")
    return {name: hit / of, f"{name}_low": float(ends.low), f"{name}_high": float(ends.high)}

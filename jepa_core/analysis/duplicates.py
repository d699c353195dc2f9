"""Copies of pictures within a set, and of another set's: the same file, the same pixels, nearly the same picture.

Near duplicates are looked for in two steps. **Candidates** are pairs whose perceptual hashes differ in at most
`RADIUS` of 64 bits, either as they are, with one of them mirrored, or with one of them cropped
(`jepa_core.analysis.picture_facts`). They are found without holding every picture against every other one: of four
bands of 16 bits one differs in at most two bits where all differ in at most eleven, so only pictures with such a band
are compared (multi-index hashing: Norouzi, Punjani, Fleet, Fast Exact Search in Hamming Space with Multi-Index Hashing,
TPAMI 2014, arXiv 1307.2982). A candidate is a **near duplicate** where the small copies agree: the correlation of their
luma, the best over a few crops of one of them, is at least `ALIKE`, that of its slopes there at least `ALIKE_IN_DETAIL`
(two pictures of sky over ground are alike but for that), and their colours are close.

What hashes cannot tell: pictures of fewer than `LEAST_SIDE` pixels a side, and plain ones, whose hashes are noise. Of
these only equal pixels are found, and `untold` counts them.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int, UInt8, UInt64
from numpy import ndarray
from PIL import Image

from jepa_core.analysis.picture_facts import Facts, stacked

RADIUS = 11
"""Bits of 64 in which the hashes of a candidate differ, at most."""
ALIKE = 0.9
"""Correlation of the small copies' luma from which on two pictures are nearly the same."""
ALIKE_IN_DETAIL = 0.6
"""The same of the differences of neighbouring pixels of the small copies."""
SAME_COLOURS = 16.0
"""Grey levels by which the colours (Cb, Cr) of near duplicates differ on average, at most."""
LEAST_SIDE = 16
"""Pixels of the shorter side below which there is too little in a picture to tell a copy from another one."""
LEAST_CONTRAST = 2.0
"""Grey levels (standard deviation) of the small copy below which a picture is too plain for it."""
EVEN, MOST_EVEN = 3.0, 0.9
"""Grey levels around the median, and the share of a small copy within them from which on it is too plain for it."""
MOST_SHARING = 50
"""Pictures that may share a hash: what more have in common says that a picture is of their kind, and not a copy."""
MANY = 100_000
"""Hashes from which on some candidates of more than 7 bits are passed over, so that a million take minutes."""

KINDS = ("same file", "same pixels", "near", "mirrored")
_MIRRORED = 1  # place of the mirrored hash among those of `Facts`
_BANDS, _BITS = 4, 16
_AT_ONCE = 4_000_000  # pairs held against each other at a time
_SURE = 0.98  # a correlation for which no crop is tried
_SCALES, _PLACES = (0.95, 0.9, 0.85), (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Duplicate:
    """Two pictures by their places, and how alike: `kind` of `KINDS`, and the correlation of their small copies."""

    first: int  # in the other set, if there is one
    second: int
    kind: str
    alike: float = 1.0


@dataclass(frozen=True, eq=False)
class Duplicates:
    """The duplicates of a set by the later picture, and how many pictures no hash can tell apart (`untold`)."""

    pairs: list[Duplicate]
    untold: int


def find(
    digests: Sequence[str],
    facts: Sequence[Facts],
    other_digests: Sequence[str] = (),
    other_facts: Sequence[Facts] = (),
) -> Duplicates:
    """The duplicates among the pictures of a set, or with `other_facts` between those of another set and these.

    A picture equal to an earlier one is told as that one's copy alone, not as everything else that resembles it, so
    that a thousand copies are 999 pairs. All are given by the digests of their files and by their facts.
    """
    across = bool(other_digests)
    pairs = list(_equal(digests, facts, other_digests, other_facts))
    copies = {pair.second for pair in pairs}
    fresh = [place for place in range(len(facts)) if place not in copies]
    common = _common(other_facts if across else [facts[place] for place in fresh])
    told = [place for place in fresh if _is_told(facts[place], common)]
    against = [place for place, one in enumerate(other_facts) if _is_told(one, common)] if across else told
    if told and against:
        there = [(other_facts if across else facts)[place] for place in against]
        for pair in _near(there, [facts[place] for place in told], across):
            ends = against[pair.first], told[pair.second]
            pairs.append(replace(pair, first=ends[0] if across else min(ends), second=ends[1] if across else max(ends)))
    pairs.sort(key=lambda pair: (pair.second, KINDS.index(pair.kind), -pair.alike, pair.first))
    return Duplicates(pairs, len(fresh) - len(told))


def _equal(
    digests: Sequence[str], facts: Sequence[Facts], other_digests: Sequence[str], other_facts: Sequence[Facts]
) -> Iterator[Duplicate]:
    """Pairs of the same bytes or pixels, each picture with the first that has them."""
    files: dict[str, int] = {}
    pixels: dict[bytes, int] = {}
    across = bool(other_digests)
    for place, (digest, one) in enumerate(zip(other_digests, other_facts, strict=True)):
        files.setdefault(digest, place)
        pixels.setdefault(one.pixels, place)
    for place, (digest, one) in enumerate(zip(digests, facts, strict=True)):
        if digest in files:
            yield Duplicate(files[digest], place, "same file")
        elif one.pixels in pixels:
            yield Duplicate(pixels[one.pixels], place, "same pixels")
        elif not across:
            files[digest] = pixels[one.pixels] = place


def _common(facts: Sequence[Facts]) -> set[int]:
    """The hashes that too many pictures share."""
    counts = Counter(int(one.hashes[0]) for one in facts)
    return {value for value, count in counts.items() if count > MOST_SHARING}


def _is_told(one: Facts, common: set[int]) -> bool:
    """Whether a hash can tell a picture's copies."""
    luma = one.luma.astype(np.float64)
    even = float(np.mean(np.abs(luma - np.median(luma)) <= EVEN))
    small = min(one.width, one.height) < LEAST_SIDE
    plain = float(luma.std()) < LEAST_CONTRAST or even >= MOST_EVEN
    return not small and not plain and int(one.hashes[0]) not in common


# --- candidates -------------------------------------------------------------------------------------------------------


def _near(against: list[Facts], facts: list[Facts], across: bool) -> Iterator[Duplicate]:
    """Near duplicates by their places in `against` and `facts`, which are the same list unless it goes `across`."""
    there, here = stacked(against, "hashes"), stacked(facts, "hashes")
    found: dict[tuple[int, int], str] = {}
    for number in range(here.shape[1]):
        kind = "mirrored" if number == _MIRRORED else "near"
        for second, first in zip(*within(there[:, 0], here[:, number], RADIUS), strict=True):
            if across or first != second:
                found.setdefault((first, second) if across else (min(first, second), max(first, second)), kind)
        if across and number > _MIRRORED:  # the other way round: what is whole here may be a crop of what is there
            for first, second in zip(*within(here[:, 0], there[:, number], RADIUS), strict=True):
                found.setdefault((first, second), kind)
    for (first, second), kind in found.items():
        alike = _confirmed(against[first], facts[second], kind)
        if alike is not None:
            yield Duplicate(int(first), int(second), kind, alike)


def within(
    index: UInt64[ndarray, "n"], queries: UInt64[ndarray, "m"], radius: int
) -> tuple[Int[ndarray, "pairs"], Int[ndarray, "pairs"]]:
    """All pairs (place in `queries`, place in `index`) of 64-bit hashes that differ in at most `radius` bits.

    Of four bands of 16 bits one differs in at most `radius // 4`, and about m n / 65536 pairs are compared for each of
    the ways in which it may (137 for two bits). Of more than `MANY` hashes those pairs are found that have a band which
    differs in at most one bit (17 ways): all up to 7 bits, and the most of the others.
    """
    most = radius // _BANDS if len(index) <= MANY else min(1, radius // _BANDS)
    flips = [mask for mask in range(1 << _BITS) if mask.bit_count() <= most]
    found = []
    for band in range(_BANDS):
        shift = np.uint64(_BITS * band)
        keys = ((index >> shift) & np.uint64(0xFFFF)).astype(np.int64)
        asked = ((queries >> shift) & np.uint64(0xFFFF)).astype(np.int64)
        order, counts = np.argsort(keys, kind="stable"), np.bincount(keys, minlength=1 << _BITS)
        starts = np.cumsum(counts) - counts
        for flip in flips:
            wanted = asked ^ flip
            sizes = counts[wanted]
            for part in _parts(sizes):
                repeats = sizes[part]
                asking = np.repeat(np.arange(part.start, part.stop), repeats)
                offsets = np.arange(len(asking)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
                places = order[starts[wanted[asking]] + offsets]
                near = np.bitwise_count(queries[asking] ^ index[places]) <= radius
                found.append(asking[near] * len(index) + places[near])
    pairs = np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)
    return pairs // max(len(index), 1), pairs % max(len(index), 1)


def _parts(sizes: Int[ndarray, "m"]) -> Iterator[slice]:
    """Slices of about `_AT_ONCE` pairs each."""
    ends = np.searchsorted(np.cumsum(sizes), np.arange(_AT_ONCE, sizes.sum() + _AT_ONCE, _AT_ONCE), side="right") + 1
    start = 0
    for end in ends.tolist():
        stop = min(max(end, start + 1), len(sizes))
        if start < stop:
            yield slice(start, stop)
        start = stop


# --- confirmed --------------------------------------------------------------------------------------------------------


def _confirmed(one: Facts, two: Facts, kind: str) -> float | None:
    """The correlation of a candidate's small copies; None where it is too low, or the colours are others."""
    turned = slice(None, None, -1 if kind == "mirrored" else 1)
    if _colours_apart(one.colour, two.colour[:, :, turned]) > SAME_COLOURS:
        return None
    alike, in_detail = likeness(one.luma, two.luma[:, turned])
    return alike if alike >= ALIKE and in_detail >= ALIKE_IN_DETAIL else None


def _colours_apart(one: ndarray, two: ndarray) -> float:
    return float(np.abs(one.astype(np.float64) - two).mean(axis=(1, 2)).max())


def likeness(one: UInt8[ndarray, "h w"], two: UInt8[ndarray, "h w"]) -> tuple[float, float]:
    """Correlation of two small copies, the largest over crops of either to 85 % of its sides, and that of slopes."""
    straight = _correlation(one, two)
    if straight >= _SURE:
        return straight, _correlation(_slopes(one), _slopes(two))
    pairs = [(one, two), *((crop, two) for crop in _crops(one)), *((one, crop) for crop in _crops(two))]
    alike, best = max((_correlation(*pair), place) for place, pair in enumerate(pairs))
    return alike, _correlation(*map(_slopes, pairs[best]))


def _slopes(luma: ndarray) -> ndarray:
    values = luma.astype(np.float64)
    return np.stack([np.diff(values, axis=0)[:, :-1], np.diff(values, axis=1)[:-1]])


def _crops(luma: ndarray) -> Iterator[ndarray]:
    picture, side = Image.fromarray(np.ascontiguousarray(luma)).convert("F"), luma.shape[0]
    for scale in _SCALES:
        room = side * (1 - scale)
        for down in _PLACES:
            for across in _PLACES:
                box = (across * room, down * room, across * room + scale * side, down * room + scale * side)
                yield np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC, box=box))


def _correlation(one: ndarray, two: ndarray) -> float:
    first, second = (values - values.mean() for values in (one.astype(np.float64), two.astype(np.float64)))
    return float((first * second).sum() / max(np.sqrt((first**2).sum() * (second**2).sum()), 1e-9))

"""How long a set takes on machines that are not here, how large what comes of it is, and what is not known of that.

Speeds are measured ones (docs/performance.md), of one encoder for each kind of machine, or those of this machine.
Another encoder's are in proportion: a full score is K products of about a forward pass each, and a look is one.
"""

import math
import re
from dataclasses import dataclass

from jepa_core.encoders import cost
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import JepaError
from jepa_core.scoring import allocator, forecast
from jepa_core.scoring.allocator import Prices
from jepa_core.scoring.method import METHODS
from jepa_core.scoring.parts import WRITTEN_AFTER

HERE = "here"
_FAR = 10.0  # times the work of what was measured, from which a proportion is only a guess
_ROW = 1000  # bytes of an image's rows beside its vectors: keys, names, sizes of layers, what a B-tree leaves free


@dataclass(frozen=True)
class MeasuredSpeed:
    """Seconds an image on one card or machine, as measured.

    Attributes:
        encoder: of which they are, in words.
        k: how many numbers its embedding has.
        flop: of one forward pass of one image.
        full: seconds of a full score.
        look: seconds of a look; None where it was not measured.
        precision: of the products.
        source: where the figures come from.
    """

    encoder: str
    k: int
    flop: float
    full: float
    look: float | None
    precision: str
    source: str


MEASURED: dict[str, tuple[MeasuredSpeed, ...]] = {
    "H100": (MeasuredSpeed("ViT-B/14 at 224 px", 768, 46.3e9, 0.153, None, "bf16", "docs/performance.md"),),
    "H200": (
        MeasuredSpeed("ViT-B/14 at 224 px", 768, 46.3e9, 0.141, 0.00194, "bf16", "docs/performance.md"),
        MeasuredSpeed("ViT-H/14 at 224 px", 1280, 334e9, 1.159, None, "bf16", "docs/performance.md"),
    ),
    "AMX": (MeasuredSpeed("ViT-S/14 at 224 px", 384, 12.2e9, 23.3, 0.104, "fp32", "docs/performance.md"),),
}
"""The kinds of machine by name: one NVIDIA H100, one H200, and two cores of a Xeon with AMX; from files to results."""


@dataclass(frozen=True)
class Machines:
    """So many machines of a kind: a name in `MEASURED`, or `HERE`."""

    count: int
    kind: str

    @classmethod
    def of(cls, text: str) -> "Machines":
        """Machines as a person writes them.

        >>> Machines.of("8 x h100"), Machines.of("here")
        (Machines(count=8, kind='H100'), Machines(count=1, kind='here'))
        """
        found = re.fullmatch(r"\s*(?:([1-9]\d{0,5})\s*[x*]\s*)?(\S+)\s*", text)
        known = {name.casefold(): name for name in (*MEASURED, HERE)}
        if not found or found[2].casefold() not in known:
            raise JepaError(
                f"A plan was asked for on {text!r}, of which no speed was measured; {', '.join(MEASURED)} and {HERE} "
                "(such as this machine) are accepted, as in '8 x H100'; 'bench' measures another where it runs."
            )
        return cls(int(found[1] or 1), known[found[2].casefold()])


@dataclass(frozen=True)
class Planned:
    """One method: hours on the machines that it uses, gigabytes in the store, files of parts; NaN for not known."""

    method: str
    machines: int
    hours: float
    gigabytes: float
    files: int


@dataclass(frozen=True)
class Plan:
    """The methods, and sentences on what the figures rest on and leave out."""

    methods: list[Planned]
    notes: list[str]


def plan(spec: EncoderSpec, output: str, images: int, machines: Machines, device: str = "cpu") -> Plan:
    """What scoring so many images takes by each method. `device` is of this machine, for speeds of it."""
    k = spec.outputs[output]
    if machines.kind == HERE:
        prices: Prices = forecast.prices_of(spec, output, device)
        notes = [f"Speeds are of this machine ({device}, fp32), by a network of a usual shape, measured now."]
    else:
        prices, notes = _in_proportion(spec, k, machines.kind)
    times = forecast.seconds(prices, images) if not math.isnan(prices.look) else {"exact": images * prices.full}
    methods = []
    for name in METHODS:
        count = machines.count if name == "exact" else 1
        hours = times.get(name, math.nan) / count / 3600
        size = images * ((8 if name == "exact" else 4) * k + _ROW) / 1e9
        files = 0
        if name == "exact" and count > 1:
            files = min(images, max(count, math.ceil(images * max(prices.full / WRITTEN_AFTER, 1 / 1000))))
        methods.append(Planned(name, count, hours, size, files))
    if machines.count > 1:
        notes.append("Estimates are made on one machine, since each of them rests on full scores of the whole set.")
    notes.append(
        "Not in the hours: starting machines, downloading weights, copying pictures to where they are scored, and "
        "reading them where the disk or network gives fewer than "
        f"{_rate(machines.count / prices.full)} pictures a second in all."
    )
    return Plan(methods, notes)


def _in_proportion(spec: EncoderSpec, k: int, kind: str) -> tuple[Prices, list[str]]:
    flop = cost.forward_flop(spec)
    work = k * flop
    nearest = min(MEASURED[kind], key=lambda one: abs(math.log(work / (one.k * one.flop))))
    full = nearest.full * work / (nearest.k * nearest.flop)
    looked = [one for one in MEASURED[kind] if one.look is not None]
    look = math.nan
    if looked:
        by = min(looked, key=lambda one: abs(math.log(flop / one.flop)))
        look = (by.look or 0.0) * flop / by.flop
    notes = [
        f"Speeds are in proportion to those of {nearest.encoder} ({nearest.precision}, {nearest.source}): {full:.3g} s "
        "a full score" + (f", {look:.3g} s a look." if looked else "; no look was measured on it.")
    ]
    times = max(work / (nearest.k * nearest.flop), nearest.k * nearest.flop / work)
    if times > _FAR:
        notes.append(
            f"That encoder's work differs from this one's by a factor of {times:,.0f}, so this is a guess: small "
            "networks reach a smaller share of a card. 'bench' where they run says more."
        )
    return Prices(look, allocator.PRODUCT_SHARE * look, full), notes


def _rate(pictures: float) -> str:
    return f"{pictures:,.0f}" if pictures >= 10 else f"{pictures:.2g}"

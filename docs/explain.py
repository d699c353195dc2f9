"""Draw the pictures of the pages' explanations: `python docs/explain.py` writes `assets/explain/*.svg`.

Lines and words take the text's colour of the page they stand on (`currentColor`); blue is the likely end and orange the
unlikely one, and each is told apart by its place or its words as well.
"""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from xml.sax.saxutils import escape

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "explain"
LIKELY, UNLIKELY, THIRD, GREY = "#2b8cc4", "#e07b39", "#2a9d78", "#8b95a1"
WIDTH, HEIGHT = 520, 190


# Parts of a picture, as the text of their elements.


def words(x: float, y: float, text: str, *, anchor: str = "middle", size: int = 14, bold: bool = False) -> str:
    """A line of text."""
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}"{weight}>{escape(text)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, *, colour: str = "currentColor", width: float = 1.5) -> str:
    """A straight line."""
    return f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}" stroke="{colour}" stroke-width="{width:g}" fill="none"/>'


def arrow(x1: float, y1: float, x2: float, y2: float, *, colour: str = "currentColor", width: float = 1.8) -> str:
    """A line with a head."""
    turn = math.atan2(y2 - y1, x2 - x1)
    wings = " ".join(
        f"{x2 - 8 * math.cos(turn + side):.1f} {y2 - 8 * math.sin(turn + side):.1f}" for side in (0.45, -0.45)
    )
    return line(x1, y1, x2, y2, colour=colour, width=width) + f'<path d="M{x2:g} {y2:g} {wings}z" fill="{colour}"/>'


def box(x: float, y: float, width: float, height: float, *, fill: str = "none", stroke: str = "currentColor") -> str:
    """A rectangle."""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" fill="{fill}" stroke="{stroke}"'
        ' stroke-width="1.5"/>'
    )


def dot(x: float, y: float, *, colour: str, size: float = 4) -> str:
    """A filled circle."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:g}" fill="{colour}"/>'


def ellipse(x: float, y: float, rx: float, ry: float, *, turn: float = 0, stroke: str = "currentColor") -> str:
    """An ellipse with a tint."""
    return (
        f'<ellipse cx="{x:g}" cy="{y:g}" rx="{rx:g}" ry="{ry:g}" transform="rotate({turn:g} {x:g} {y:g})" '
        f'fill="{stroke}" fill-opacity=".12" stroke="{stroke}" stroke-width="2"/>'
    )


def hill(left: float, right: float, floor: float, height: float, *, colour: str, fill: float = 0.2) -> str:
    """A bell between two places, three standard deviations to each side."""
    middle, spread = (left + right) / 2, (right - left) / 6
    points = [
        (x, floor - height * math.exp(-(((x - middle) / spread) ** 2) / 2))
        for x in (left + (right - left) * step / 40 for step in range(41))
    ]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="M{path}" stroke="{colour}" stroke-width="2" fill="{colour}" fill-opacity="{fill:g}"/>'


def digit(x: float, y: float, size: float, bend: float = 0, colour: str = "currentColor") -> str:
    """A framed stroke like a handwritten 2; `bend` spoils it."""
    unit = size / 10
    return box(x, y, size, size) + (
        f'<path d="M{x + 3 * unit:.1f} {y + (3.4 + bend) * unit:.1f}c{1.2 * unit:.1f} {-2.6 * unit:.1f} '
        f"{4.6 * unit:.1f} {(-2 + bend) * unit:.1f} {4 * unit:.1f} {0.6 * unit:.1f}c{-0.6 * unit:.1f} {1.8 * unit:.1f} "
        f"{(-3 - bend) * unit:.1f} {2.4 * unit:.1f} {-4 * unit:.1f} {4 * unit:.1f}"
        f'l{4.4 * unit:.1f} {-0.3 * bend * unit:.1f}" fill="none" stroke="{colour}" stroke-width="{1.1 * unit:.1f}" '
        'stroke-linecap="round"/>'
    )


def scattered(x: float, y: float, spread: float, count: int, start: float = 0.0) -> Iterable[tuple[float, float]]:
    """Places around a point, denser in the middle, by the golden angle."""
    for step in range(count):
        far = spread * ((step + 0.5) / count) ** 0.8
        yield x + far * math.cos(2.39996 * step + start), y + 0.7 * far * math.sin(2.39996 * step + start)


def gallery() -> tuple[str, list[str]]:
    """The stretching that a score adds up, and the order that follows."""
    parts = [digit(24, 52, 56), words(52, 128, "a picture,")]
    parts += [
        words(52, 145, "nudged a little"),
        arrow(86, 80, 116, 80),
        box(120, 56, 84, 48),
        words(162, 85, "encoder"),
    ]
    parts += [arrow(208, 70, 246, 48), ellipse(296, 42, 38, 26, turn=-20, stroke=LIKELY)]
    parts += [arrow(208, 92, 262, 130), ellipse(296, 138, 17, 7, turn=-20, stroke=UNLIKELY)]
    parts += [
        words(350, 38, "answers strongly:", anchor="start"),
        words(350, 56, "high score, likely", anchor="start", bold=True),
    ]
    parts += [
        words(350, 134, "answers weakly:", anchor="start"),
        words(350, 152, "low score, unlikely", anchor="start", bold=True),
    ]
    return "A nudged picture goes through the encoder: a strong answer is a high score, a weak one a low score", parts


def domains() -> tuple[str, list[str]]:
    """Two histograms that overlap, and one upside down."""
    parts = [hill(190, 410, 70, 52, colour=LIKELY), words(176, 62, "reference", anchor="end", bold=True)]
    parts += [hill(40, 220, 70, 0, colour=GREY, fill=0)]
    parts += [hill(196, 316, 122, 40, colour=UNLIKELY), words(176, 114, "told apart", anchor="end")]
    parts += [hill(330, 480, 174, 40, colour=UNLIKELY), words(176, 158, "upside down:", anchor="end")]
    parts += [words(176, 174, "foreign, yet higher", anchor="end")]
    parts += [line(190, ground, 490, ground) for ground in (70, 122, 174)]
    parts += [arrow(400, 16, 500, 16), words(392, 21, "likely", anchor="end", size=13)]
    return (
        "Histograms of sets of pictures below each other on one score; one lies lower, one higher than the reference",
        [part for part in parts if 'fill-opacity="0"' not in part],
    )


def directions() -> tuple[str, list[str]]:
    """A circle of small changes becomes an ellipse."""
    parts = [ellipse(96, 92, 46, 46), arrow(96, 92, 142, 92, colour=LIKELY, width=3)]
    parts += [arrow(96, 92, 96, 46, colour=UNLIKELY, width=3), words(96, 162, "all changes of a picture")]
    parts += [words(96, 179, "of one length"), arrow(172, 92, 212, 92), words(192, 82, "J", bold=True)]
    parts += [ellipse(324, 92, 96, 22, turn=-12, stroke="currentColor")]
    parts += [arrow(324, 92, 418, 72, colour=LIKELY, width=3), arrow(324, 92, 319.5, 70.5, colour=UNLIKELY, width=3)]
    parts += [
        words(424, 62, "direction 1:", anchor="start", size=13),
        words(424, 78, "noticed most", anchor="start", size=13),
    ]
    parts += [words(306, 50, "the last one: hardly noticed", size=13)]
    parts += [words(324, 162, "what they do to the embedding"), words(324, 179, "(lengths: the singular values)")]
    return (
        "The Jacobian J turns a circle of small changes into an ellipse; its half-axes are the singular values",
        parts,
    )


def check() -> tuple[str, list[str]]:
    """A picture at the end of a histogram: its percentile."""
    parts = [hill(120, 440, 140, 108, colour=GREY, fill=0.25), line(90, 140, 500, 140)]
    parts += [line(150, 44, 150, 140, colour=UNLIKELY, width=4), digit(126, 6, 36, 2.2)]
    parts += [words(112, 62, "your picture", anchor="end", bold=True), words(112, 79, "percentile 1", anchor="end")]
    parts += [
        words(300, 132, "references", size=13),
        words(112, 160, "unlikely", size=13),
        words(480, 160, "likely", size=13),
    ]
    parts += [words(280, 182, "1 in 100 references is as unusual, by all that is asked", size=13)]
    return "A picture at the lower end of the histogram of the references: its percentile is the share below it", parts


def encoders() -> tuple[str, list[str]]:
    """Two views of a picture must get one embedding, and all embeddings a Gaussian cloud."""
    parts = [digit(10, 70, 50), arrow(66, 86, 96, 52), arrow(66, 104, 96, 138)]
    parts += [digit(100, 22, 46, 0.6), digit(104, 120, 40, 0.3), words(124, 84, "two views")]
    parts += [arrow(152, 46, 196, 82), arrow(152, 140, 196, 108), box(200, 70, 84, 50), words(242, 100, "encoder")]
    parts += [arrow(288, 95, 330, 95)]
    parts += [dot(x, y, colour=GREY) for x, y in scattered(420, 92, 78, 60)]
    parts += [dot(410, 84, colour=LIKELY, size=6), dot(421, 90, colour=LIKELY, size=6)]
    parts += [words(400, 172, "both in one place, and all"), words(400, 187, "pictures in a Gaussian cloud")]
    return "Training: two views of a picture get the same embedding, and all embeddings form a Gaussian cloud", parts


def studies() -> tuple[str, list[str]]:
    """The paper's three figures as sketches."""
    parts: list[str] = []
    for row, y in enumerate((30, 78)):
        parts += [digit(14 + 44 * column, y, 38, 2 - 0.9 * column + row * 0.5) for column in range(3)]
    parts += [words(78, 145, "Figure 1", bold=True), words(78, 163, "the two ends")]
    parts += [hill(200, 300, 62, 34, colour=LIKELY), hill(240, 330, 112, 34, colour=UNLIKELY)]
    parts += [line(196, 62, 336, 62), line(196, 112, 336, 112)]
    parts += [words(266, 145, "Figure 3", bold=True), words(266, 163, "whole datasets")]
    parts += [digit(382, 46, 50), arrow(438, 71, 462, 71)]
    parts += [box(466, 46, 44, 50), hill(470, 506, 72, 18, colour=LIKELY), hill(470, 506, 92, 12, colour=UNLIKELY)]
    parts += [words(444, 145, "Figure 7", bold=True), words(444, 163, "directions")]
    return (
        "The paper's figures: 1 the least and most likely pictures, 3 whole datasets, 7 the directions of a picture",
        parts,
    )


def image() -> tuple[str, list[str]]:
    """The score as a sum of logs, one bar a singular value, and the leverage of each pixel."""
    parts = []
    for place, height in enumerate((46, 40, 34, 30, 24, 18, -12, -30)):
        x, colour = 24 + 24 * place, LIKELY if height > 0 else UNLIKELY
        top = 90 - max(height, 0)
        parts.append(f'<rect x="{x}" y="{top}" width="17" height="{abs(height)}" fill="{colour}"/>')
    parts += [
        line(16, 90, 222, 90),
        words(118, 145, "one bar a direction: its log."),
        words(118, 163, "All together: the score."),
    ]
    parts += [digit(300, 24, 96)]
    for x, y, strength in ((330, 54, 0.5), (352, 44, 0.8), (368, 62, 0.95), (350, 84, 0.6), (338, 104, 0.35)):
        parts.append(f'<circle cx="{x}" cy="{y}" r="13" fill="{LIKELY}" fill-opacity="{strength}"/>')
    parts += [words(348, 145, "leverage: how much the"), words(348, 163, "score hangs on each pixel")]
    return "The score is the sum of one bar for each direction; leverage marks the pixels that it hangs on most", parts


def compare() -> tuple[str, list[str]]:
    """Ranks of two encoders against each other."""
    parts = [line(150, 20, 150, 150), line(150, 150, 380, 150), line(150, 150, 380, 20, colour=GREY)]
    for step, (x, y) in enumerate(scattered(265, 85, 30, 26)):
        along = (step * 37 % 26 - 13) * 7.4
        parts.append(dot(x + along, y - along * 0.56, colour=GREY))
    parts += [dot(200, 40, colour=UNLIKELY, size=6), dot(214, 52, colour=UNLIKELY, size=6)]
    parts += [words(228, 36, "they disagree", anchor="start", bold=True)]
    parts += [
        words(265, 172, "rank by one encoder"),
        words(142, 80, "rank by", anchor="end"),
        words(142, 97, "another", anchor="end"),
    ]
    parts += [words(392, 34, "on this line", anchor="start"), words(392, 51, "they agree", anchor="start")]
    return (
        "Each dot is a picture: its rank by one encoder against its rank by another; far from the line they disagree",
        parts,
    )


def map_() -> tuple[str, list[str]]:
    """Pictures that the encoder finds alike lie together."""
    parts = [dot(x, y, colour=LIKELY) for x, y in scattered(110, 80, 62, 34)]
    parts += [dot(x, y, colour=THIRD) for x, y in scattered(290, 110, 56, 30, 1.0)]
    parts += [
        f'<path d="M{x - 4:.1f} {y - 4:.1f}h8v8h-8z" fill="{UNLIKELY}"/>' for x, y in scattered(440, 60, 36, 14, 2.0)
    ]
    parts += [words(110, 150, "alike: near each other"), words(290, 176, "another kind"), words(440, 112, "apart")]
    return "A map: pictures with similar embeddings lie near each other; distances across the map mean little", parts


def runs() -> tuple[str, list[str]]:
    """Pictures wait, are computed once, and stay in the store."""
    parts = [box(16 + 10 * step, 60 + 6 * step, 70, 44, fill="none") for step in range(3)]
    parts += [words(70, 150, "queued"), arrow(118, 90, 166, 90), box(170, 60, 120, 60)]
    parts += [f'<rect x="182" y="86" width="60" height="10" rx="5" fill="{LIKELY}"/>']
    parts += ['<rect x="182" y="86" width="96" height="10" rx="5" fill="none" stroke="currentColor"/>']
    parts += [words(230, 150, "computed, one at a time"), arrow(296, 90, 344, 90)]
    parts += [
        '<path d="M356 52v74c0 20 96 20 96 0V52" fill="none" stroke="currentColor" stroke-width="1.5"/>',
        '<ellipse cx="404" cy="52" rx="48" ry="13" fill="none" stroke="currentColor" stroke-width="1.5"/>',
    ]
    parts += [words(404, 166, "the store: scored once,"), words(404, 183, "read ever after")]
    return "Jobs wait in a queue, are computed one at a time, and their results stay in the store", parts


def theory() -> tuple[str, list[str]]:
    """Dense data are stretched, sparse data squeezed, so that all becomes a Gaussian."""
    parts = [dot(x, y, colour=LIKELY, size=3) for x, y in scattered(66, 92, 26, 40)]
    parts += [dot(x, y, colour=UNLIKELY, size=3) for x, y in scattered(150, 72, 46, 9)]
    parts += [
        words(66, 150, "dense"),
        words(156, 150, "sparse"),
        arrow(212, 88, 262, 88),
        words(237, 78, "f", bold=True),
    ]
    parts += [dot(x, y, colour=LIKELY, size=3) for x, y in scattered(356, 88, 64, 40)]
    parts += [dot(x, y, colour=UNLIKELY, size=3) for x, y in scattered(432, 80, 22, 9)]
    parts += [words(360, 150, "stretched"), words(456, 150, "squeezed")]
    parts += [words(260, 182, "so the stretching of f, its Jacobian, tells how dense the data are", size=13)]
    return "A map f that makes data Gaussian stretches where they are dense and squeezes where they are sparse", parts


PICTURES: dict[str, Callable[[], tuple[str, list[str]]]] = {
    "gallery": gallery,
    "domains": domains,
    "directions": directions,
    "check": check,
    "encoders": encoders,
    "studies": studies,
    "image": image,
    "compare": compare,
    "map": map_,
    "runs": runs,
    "theory": theory,
}


def drawn(name: str) -> str:
    """The text of a picture's file."""
    title, parts = PICTURES[name]()
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" font-family="inherit" fill="currentColor">\n{body}\n</svg>\n'
    )


def main() -> None:
    """Write all pictures."""
    FOLDER.mkdir(exist_ok=True)
    for name in PICTURES:
        (FOLDER / f"{name}.svg").write_text(drawn(name), encoding="utf-8")


if __name__ == "__main__":
    main()

"""A contact sheet: rows of pictures with captions as one picture, for the studies of the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

_CELL, _GAP, _LINE = 112, 10, 16  # px
_PAPER, _INK, _FAINT = "#ffffff", "#1f2933", "#5b6773"


@dataclass(frozen=True)
class Row:
    """A title and its pictures, each with a caption; `break_after` leaves a gap behind so many of them."""

    title: str
    pictures: Sequence[Image.Image]
    captions: Sequence[str]
    break_after: int = 0


def contact_sheet(heading: str, rows: Sequence[Row], foot: str = "") -> Image.Image:
    """The rows below each other under a heading. Small pictures are enlarged by a whole factor, with square pixels."""
    width = max(2 * _GAP + len(row.pictures) * (_CELL + _GAP) + (3 * _GAP if row.break_after else 0) for row in rows)
    width = max(width, 640)
    height = 3 * _LINE + len(rows) * (_CELL + 3 * _LINE + _GAP) + 2 * _LINE
    paper = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(paper)
    large, small = ImageFont.load_default(15), ImageFont.load_default(11)
    draw.text((_GAP, _LINE // 2), heading, _INK, large)
    top = 2 * _LINE + _GAP
    for row in rows:
        draw.text((_GAP, top), row.title, _INK, small)
        left = _GAP
        for place, (picture, caption) in enumerate(zip(row.pictures, row.captions, strict=True)):
            fitted = _fit(picture)
            paper.paste(fitted, (left + (_CELL - fitted.width) // 2, top + _LINE + (_CELL - fitted.height) // 2))
            draw.text((left, top + _LINE + _CELL + 2), caption, _FAINT, small)
            left += _CELL + _GAP + (2 * _GAP if row.break_after == place + 1 else 0)
        top += _CELL + 3 * _LINE + _GAP
    draw.text((_GAP, top), foot, _FAINT, small)
    return paper


def _fit(picture: Image.Image) -> Image.Image:
    factor = _CELL // max(picture.size)
    if factor >= 2:
        return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    scale = _CELL / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.LANCZOS)

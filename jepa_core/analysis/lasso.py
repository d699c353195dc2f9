"""Areas drawn on a map, with a lasso or as a box: from a chart's event to polygons, to an address, to what lies within.

A polygon is an (m, 2) array of its corners; an area is the union of some. In an address it is written as numbers with
two digits after the point, corners divided by "_" and polygons by "~": "0.00,1.00_2.50,1.00_2.50,3.00".
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

MOST_CORNERS = 60  # of a polygon, so that an address stays short enough for every browser
MOST_POLYGONS = 8
_LARGEST = 1e6

Area = list[ndarray]


def area_of(selection: Mapping[str, Any]) -> Area:
    """The area of a Plotly selection, which has boxes as two corners and lassos as all of theirs."""
    boxes = [
        np.array([(x, y) for x, y in zip(_around(box["x"]), _across(box["y"]), strict=True)])
        for box in selection.get("box", ())
        if len(box["x"]) == 2
    ]
    lassos = [_thinned(np.column_stack([one["x"], one["y"]])) for one in selection.get("lasso", ())]
    return [np.round(one.astype(float), 2) for one in [*boxes, *lassos] if len(one) > 2][:MOST_POLYGONS]


def clicked(selection: Mapping[str, Any]) -> int | None:
    """The customdata of the one point that was clicked; None for an area, for several points and for none."""
    points = selection.get("points", ())
    if len(points) != 1 or area_of(selection):
        return None
    data = points[0].get("customdata")
    [value] = data if isinstance(data, Sequence) and len(data) == 1 else [data]
    return int(value) if isinstance(value, int | float) else None


def _around(ends: Sequence[float]) -> list[float]:
    return [ends[0], ends[1], ends[1], ends[0]]


def _across(ends: Sequence[float]) -> list[float]:
    return [ends[0], ends[0], ends[1], ends[1]]


def _thinned(corners: Float[ndarray, "m 2"]) -> Float[ndarray, "n 2"]:
    if len(corners) <= MOST_CORNERS:
        return corners
    return corners[np.linspace(0, len(corners) - 1, MOST_CORNERS).astype(int)]


def written(area: Area) -> str:
    """The area as a part of an address."""
    return "~".join("_".join(f"{x:.2f},{y:.2f}" for x, y in polygon) for polygon in area)


def read(text: str) -> Area:
    """The area that `written` wrote; an empty one for anything else, since an address is anyone's text."""
    polygons = text.split("~")
    if len(text) > 20_000 or len(polygons) > MOST_POLYGONS:
        return []
    try:
        area = [np.array([_corner(corner) for corner in polygon.split("_")]) for polygon in polygons]
    except ValueError:
        return []
    return area if all(2 < len(polygon) <= MOST_CORNERS for polygon in area) else []


def _corner(text: str) -> tuple[float, float]:
    x, y = (float(number) for number in text.split(","))
    if not all(math.isfinite(number) and abs(number) <= _LARGEST for number in (x, y)):
        raise ValueError(text)
    return x, y


def within(places: Float[ndarray, "n 2"], area: Area) -> Bool[ndarray, "n"]:
    """Which places lie in the area: those from which a ray to the right leaves a polygon once more than it enters."""
    found = np.zeros(len(places), dtype=bool)
    for polygon in area:
        inside = np.zeros(len(places), dtype=bool)
        for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            if y0 == y1:
                continue
            crosses = (y0 > places[:, 1]) != (y1 > places[:, 1])
            inside ^= crosses & (places[:, 0] < x0 + (places[:, 1] - y0) * (x1 - x0) / (y1 - y0))
        found |= inside
    return found

"""Random views of a batch of pictures, in one resampling on the CPU or GPU.

A view zooms, stretches, turns, shears and shifts a picture, bends it smoothly, then changes contrast, erases a
rectangle and adds noise. What the views change is what the encoder learns to ignore, so none of them mirrors: a
mirrored digit is not that digit.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

# The bend is drawn at this many points a side and interpolated: coarse enough to keep strokes whole.
_BEND_GRID = 4


@dataclass(frozen=True)
class ViewRange:
    """How far views may go. Lengths are shares of the side; all is drawn uniformly within +- unless said otherwise."""

    zoom: tuple[float, float] = (1.0, 1.0)  # linear magnification, drawn log-uniformly; above 1 shows a part
    stretch: float = 0.0  # log of the ratio of width to height
    rotation: float = 0.0  # degrees
    shear: float = 0.0
    shift: float = 0.0
    bend: float = 0.0  # standard deviation of a smooth displacement
    contrast: float = 0.0  # the picture is multiplied by 1 +- this
    erase: float = 0.0  # largest side of a rectangle turned to background
    noise: float = 0.0  # largest standard deviation, of values in [0, 1]


def random_views(
    pictures: Float[Tensor, "batch channel height width"], span: ViewRange, generator: torch.Generator
) -> Float[Tensor, "batch channel height width"]:
    """One random view of each picture.

    Args:
        pictures: values in [0, 1]; what lies outside the frame counts as 0.
        span: how far the views may go.
        generator: the source of all chance, on the pictures' device; equal states give equal views.

    Returns:
        The views, of the same shape, in [0, 1].
    """
    draw = _Draw(len(pictures), generator)
    grid = functional.affine_grid(_affine(span, draw), list(pictures.shape), align_corners=False)
    if span.bend:
        grid = grid + 2 * span.bend * _smooth_field(pictures, generator)
    views = functional.grid_sample(pictures, grid, align_corners=False)
    if span.contrast:
        views = views * draw.around(1.0, span.contrast)[:, None, None, None]
    if span.erase:
        views = views * ~_rectangles(views, span.erase, draw)
    if span.noise:
        scale = draw.between(0.0, span.noise)[:, None, None, None]
        views = views + scale * torch.randn(views.shape, generator=generator, device=views.device)
    return views.clamp(0, 1)


@dataclass(frozen=True)
class _Draw:
    """One uniform number for each picture of a batch."""

    count: int
    generator: torch.Generator

    def between(self, low: float, high: float) -> Tensor:
        unit = torch.rand(self.count, generator=self.generator, device=self.generator.device)
        return low + (high - low) * unit

    def around(self, centre: float, reach: float) -> Tensor:
        return self.between(centre - reach, centre + reach)


def _affine(span: ViewRange, draw: _Draw) -> Float[Tensor, "batch 2 3"]:
    """Where each point of the view is looked up: x_picture = R(angle) [[1, shear], [0, 1]] diag(1/zoom) x_view + shift.

    Coordinates run from -1 to 1, so a share of the side is twice its value.
    """
    size = torch.exp(-draw.between(math.log(span.zoom[0]), math.log(span.zoom[1])))
    ratio = torch.exp(draw.around(0.0, span.stretch) / 2)
    angle = draw.around(0.0, math.radians(span.rotation))
    shear = draw.around(0.0, span.shear)
    cos, sin = angle.cos(), angle.sin()
    width, height = size / ratio, size * ratio
    rows = [
        torch.stack([cos * width, (cos * shear - sin) * height, draw.around(0.0, 2 * span.shift)], dim=1),
        torch.stack([sin * width, (sin * shear + cos) * height, draw.around(0.0, 2 * span.shift)], dim=1),
    ]
    return torch.stack(rows, dim=1)


def _smooth_field(pictures: Tensor, generator: torch.Generator) -> Float[Tensor, "batch height width 2"]:
    """A smooth random displacement of unit variance at its nodes, interpolated bicubically."""
    coarse = torch.randn(len(pictures), 2, _BEND_GRID, _BEND_GRID, generator=generator, device=pictures.device)
    fine = functional.interpolate(coarse, size=pictures.shape[-2:], mode="bicubic", align_corners=True)
    return fine.permute(0, 2, 3, 1)


def _rectangles(views: Tensor, largest: float, draw: _Draw) -> Float[Tensor, "batch 1 height width"]:
    """True inside a random rectangle of each picture."""
    inside = []
    for length in views.shape[-2:]:
        centre, reach = draw.between(0.0, 1.0), draw.between(0.0, largest / 2)
        middles = (torch.arange(length, device=views.device) + 0.5) / length
        inside.append((middles - centre[:, None]).abs() < reach[:, None])
    return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]

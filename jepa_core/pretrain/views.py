"""Random views of a batch of pictures, in one resampling on the CPU or GPU.

A view zooms, stretches, turns, shears, shifts and mirrors a picture, bends it smoothly, then changes its colours, blurs
it, erases a rectangle and adds noise. What the views change is what the encoder learns to ignore: a mirrored digit is
not that digit, so views of digits do not mirror.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

# The bend is drawn at this many points a side and interpolated: coarse enough to keep strokes whole.
_BEND_GRID = 4
_BLURRED = 0.5  # the share of views that are blurred, where the span asks for blur
_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in the eye's brightness (ITU-R BT.601)


@dataclass(frozen=True)
class ViewRange:
    """How far views may go. Lengths are shares of the side; all is drawn uniformly within +- unless said otherwise."""

    zoom: tuple[float, float] = (1.0, 1.0)  # linear magnification, drawn log-uniformly; above 1 shows a part
    stretch: float = 0.0  # log of the ratio of width to height
    rotation: float = 0.0  # degrees
    shear: float = 0.0
    shift: float = 0.0
    inside: bool = False  # instead of `shift`: the part shown lies anywhere in the picture, and wholly in it
    outside: Literal["zeros", "reflection"] = "zeros"  # what is seen beyond the frame
    flip: bool = False  # half of the views are mirrored, left to right
    bend: float = 0.0  # standard deviation of a smooth displacement
    saturation: float = 0.0  # differences to grey are multiplied by 1 +- this; it, `hue` and `grey` need RGB
    hue: float = 0.0  # turns of the colour circle
    grey: float = 0.0  # the share of views without colour
    contrast: float = 0.0  # the picture is multiplied by 1 +- this
    brightness: float = 0.0  # and this is added, for values in [0, 1]
    blur: float = 0.0  # largest standard deviation in px of the view; half of the views are blurred
    erase: float = 0.0  # largest side of a rectangle turned to background
    noise: float = 0.0  # largest standard deviation, of values in [0, 1]


def random_views(
    pictures: Float[Tensor, "batch channel height width"],
    span: ViewRange,
    size: tuple[int, int],
    generator: torch.Generator,
) -> Float[Tensor, "batch channel view_height view_width"]:
    """One random view of each picture.

    Args:
        pictures: values in [0, 1].
        span: how far the views may go.
        size: height and width of the views in pixels.
        generator: the source of all chance, on the pictures' device; equal states give equal views.

    Returns:
        The views, in [0, 1].
    """
    draw = _Draw(len(pictures), generator)
    views = _resample(pictures, span, size, draw)
    if span.saturation or span.hue or span.grey:
        views = torch.einsum("bij,bjhw->bihw", _colour_matrix(span, draw), views)
    if span.contrast:
        views = views * draw.around(1.0, span.contrast)[:, None, None, None]
    if span.brightness:
        views = views + draw.around(0.0, span.brightness)[:, None, None, None]
    if span.blur:
        views = _blur(views, span.blur, draw)
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

    def between(self, low: float, high: float) -> Float[Tensor, "batch"]:
        unit = torch.rand(self.count, generator=self.generator, device=self.generator.device)
        return low + (high - low) * unit

    def around(self, centre: float, reach: float) -> Float[Tensor, "batch"]:
        return self.between(centre - reach, centre + reach)

    def chance(self, share: float) -> Float[Tensor, "batch"]:
        """1 for this share of the pictures, 0 for the others."""
        return (self.between(0.0, 1.0) < share).float()


def _resample(
    pictures: Tensor, span: ViewRange, size: tuple[int, int], draw: _Draw
) -> Float[Tensor, "batch channel view_height view_width"]:
    """All that moves points, in one bilinear resampling.

    A view that shows much of a picture in few pixels is sampled more densely and averaged, against aliasing.
    """
    dense = _density(pictures.shape[-2:], span, size)
    height, width = (dense * side for side in size)
    grid = functional.affine_grid(_affine(span, draw), [*pictures.shape[:2], height, width], align_corners=False)
    if span.bend:
        grid = grid + 2 * span.bend * _smooth_field(draw, height, width)
    views = functional.grid_sample(pictures, grid, padding_mode=span.outside, align_corners=False)
    return functional.avg_pool2d(views, dense)


def _density(source: torch.Size, span: ViewRange, size: tuple[int, int]) -> int:
    """Samples along each axis of a view's pixel, so that at the smallest zoom they are about a source pixel apart."""
    step = max(picture / view for picture, view in zip(source, size, strict=True)) / span.zoom[0]
    return max(1, round(step))


def _affine(span: ViewRange, draw: _Draw) -> Float[Tensor, "batch 2 3"]:
    """Where each point of the view is looked up: x_picture = R(angle) [[1, shear], [0, 1]] diag(1/zoom) x_view + shift.

    Mirrored views have -1/zoom along x. Coordinates run from -1 to 1, so a share of the side is twice its value.
    """
    size = torch.exp(-draw.between(math.log(span.zoom[0]), math.log(span.zoom[1])))
    ratio = torch.exp(draw.around(0.0, span.stretch) / 2)
    angle = draw.around(0.0, math.radians(span.rotation))
    shear = draw.around(0.0, span.shear)
    cos, sin = angle.cos(), angle.sin()
    width, height = size / ratio, size * ratio
    if span.flip:
        width = width * (1 - 2 * draw.chance(0.5))
    rows = [
        torch.stack([cos * width, (cos * shear - sin) * height], dim=1),
        torch.stack([sin * width, (sin * shear + cos) * height], dim=1),
    ]
    matrix = torch.stack(rows, dim=1)
    room = torch.full((draw.count, 2), 2 * span.shift, device=matrix.device)
    if span.inside:
        reach = matrix.abs().sum(dim=2)  # how far the part shown reaches from its middle, along each axis
        matrix = matrix / reach.clamp(min=1)[..., None]
        room = (1 - reach).clamp(min=0)
    shift = room * torch.stack([draw.around(0.0, 1.0), draw.around(0.0, 1.0)], dim=1)
    return torch.cat([matrix, shift[..., None]], dim=2)


def _smooth_field(draw: _Draw, height: int, width: int) -> Float[Tensor, "batch height width 2"]:
    """A smooth random displacement of unit variance at its nodes, interpolated bicubically."""
    generator = draw.generator
    coarse = torch.randn(draw.count, 2, _BEND_GRID, _BEND_GRID, generator=generator, device=generator.device)
    fine = functional.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=True)
    return fine.permute(0, 2, 3, 1)


def _colour_matrix(span: ViewRange, draw: _Draw) -> Float[Tensor, "batch 3 3"]:
    """g + s (cos(a) c + sin(a) K c): g keeps the brightness, c = 1 - g is the colour, s scales it and a turns it.

    g x = (luma . x) (1, 1, 1). K is a quarter turn of the plane of colours, K^2 = -1 there, so grey stays grey.
    """
    luma = torch.tensor(_LUMA, device=draw.generator.device)
    grey = luma.expand(3, 3)
    colour = torch.eye(3, device=luma.device) - grey
    # The cross product with the grey axis turns by a quarter; `colour` takes the result back to brightness 0.
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]], device=luma.device) / math.sqrt(3)
    angle = draw.around(0.0, 2 * math.pi * span.hue)[:, None, None]
    scale = draw.around(1.0, span.saturation) * (1 - draw.chance(span.grey))
    return grey + scale[:, None, None] * (angle.cos() * colour + angle.sin() * (colour @ cross))


def _blur(views: Tensor, largest: float, draw: _Draw) -> Float[Tensor, "batch channel height width"]:
    """A Gaussian blur of a random width for half of the views, along one axis after the other."""
    reach = math.ceil(2 * largest)
    taps = torch.arange(-reach, reach + 1, device=views.device)
    width = draw.between(0.0, largest) * draw.chance(_BLURRED)
    weights = torch.exp(-(taps / width.clamp(min=0.01)[:, None]).square() / 2)
    weights = (weights / weights.sum(dim=1, keepdim=True))[..., None, None, None]
    for axis, padding in ((2, (0, 0, reach, reach)), (3, (reach, reach, 0, 0))):
        side = views.shape[axis]
        padded = functional.pad(views, padding, mode="replicate")
        views = sum(weights[:, tap] * padded.narrow(axis, tap, side) for tap in range(len(taps)))  # type: ignore[assignment]
    return views


def _rectangles(views: Tensor, largest: float, draw: _Draw) -> Bool[Tensor, "batch 1 height width"]:
    """True inside a random rectangle of each picture."""
    inside = []
    for length in views.shape[-2:]:
        centre, reach = draw.between(0.0, 1.0), draw.between(0.0, largest / 2)
        middles = (torch.arange(length, device=views.device) + 0.5) / length
        inside.append((middles - centre[:, None]).abs() < reach[:, None])
    return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]

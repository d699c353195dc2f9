"""Pictures drawn by code: noise, flat colours, photo tiles, shapes, galaxies.

Each domain is a pure function of a picture's position in it. The generator is seeded with [seed of the domain,
position], so any picture can be drawn without the others, and its bytes are the same on each machine: all maths is in
float64, and what differs there in the last digit between processors vanishes when rounded to 8 bits.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

Colour = np.ndarray  # (3,) linear or sRGB values in 0..1, as the function says
Distance = np.ndarray  # (H, W) signed distance to an outline in pixels, negative inside

NOISE_SEED, FLAT_SEED, PHOTO_SEED, SHAPES_SEED, GALAXIES_SEED = 101, 102, 103, 104, 105
SIZE = 64  # px, height and width of tiles, shapes and galaxies
PLAIN_SIZE = 32  # px, of noise and flat colours

PHOTOS = ("china", "flower")


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8)


def noise(position: int) -> np.ndarray:
    """Uniform noise, uint8 (32, 32, 3): each value independent."""
    rng = np.random.default_rng([NOISE_SEED, position])
    return rng.integers(0, 256, (PLAIN_SIZE, PLAIN_SIZE, 3), dtype=np.uint8)


def flat(position: int) -> np.ndarray:
    """One colour, uniformly random in sRGB, uint8 (32, 32, 3)."""
    rng = np.random.default_rng([FLAT_SEED, position])
    return np.broadcast_to(rng.integers(0, 256, 3, dtype=np.uint8), (PLAIN_SIZE, PLAIN_SIZE, 3)).copy()


@lru_cache(maxsize=1)
def _photos() -> tuple[np.ndarray, ...]:
    from sklearn.datasets import load_sample_images

    return tuple(load_sample_images().images)  # china.jpg, flower.jpg: uint8 (427, 640, 3)


def photo_label(position: int) -> str:
    """Which of the PHOTOS a tile is cut from: they alternate."""
    return PHOTOS[position % len(PHOTOS)]


def photo_tile(position: int) -> np.ndarray:
    """A tile of a photo at a random place, uint8 (64, 64, 3). Tiles may overlap."""
    rng = np.random.default_rng([PHOTO_SEED, position])
    photo = _photos()[position % len(PHOTOS)]
    top, left = (int(rng.integers(0, side - SIZE + 1)) for side in photo.shape[:2])
    return photo[top : top + SIZE, left : left + SIZE].copy()


# --- shapes -----------------------------------------------------------------------------------------------------------


def _oklab(lightness: float, chroma: float, hue: float) -> Colour:
    """sRGB (3,) of a colour of even lightness to the eye (Ottosson's Oklab); `hue` in turns, values clipped to 0..1."""
    a, b = chroma * np.cos(2 * np.pi * hue), chroma * np.sin(2 * np.pi * hue)
    long = lightness + 0.3963377774 * a + 0.2158037573 * b
    medium = lightness - 0.1055613458 * a - 0.0638541728 * b
    short = lightness - 0.0894841775 * a - 1.2914855480 * b
    linear = (
        np.array(
            [
                [4.0767416621, -3.3077115913, 0.2309699292],
                [-1.2684380046, 2.6097574011, -0.3413193965],
                [-0.0041960863, -0.7034186147, 1.7076147010],
            ]
        )
        @ np.array([long, medium, short]) ** 3
    )
    return _gamma(np.clip(linear, 0.0, 1.0))


def _gamma(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)


def _grid(angle: float, centre: tuple[float, float], size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """x to the right and y upwards (H, W) in pixels, seen from `centre` and turned by `angle` radians."""
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float64) + 0.5
    x, y = columns - centre[0], centre[1] - rows
    cosine, sine = np.cos(angle), np.sin(angle)
    return cosine * x + sine * y, cosine * y - sine * x


def _disc(x: np.ndarray, y: np.ndarray, radius: float) -> Distance:
    return np.hypot(x, y) - radius


def _box(x: np.ndarray, y: np.ndarray, half_width: float, half_height: float) -> Distance:
    across, up = np.abs(x) - half_width, np.abs(y) - half_height
    return np.hypot(np.maximum(across, 0), np.maximum(up, 0)) + np.minimum(np.maximum(across, up), 0)


def _polygon(x: np.ndarray, y: np.ndarray, corners: np.ndarray) -> Distance:
    """Exact signed distance to a simple polygon with `corners` (n, 2): nearest edge, and even-odd crossings inside."""
    nearest = np.full(x.shape, np.inf)
    inside = np.zeros(x.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, 1, axis=0), strict=True):
        ex, ey = bx - ax, by - ay
        along = np.clip(((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey), 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - ax - along * ex, y - ay - along * ey))
        if ay != by:
            inside ^= ((ay > y) != (by > y)) & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return np.where(inside, -nearest, nearest)


def _regular(x: np.ndarray, y: np.ndarray, corners: int, radius: float, inner: float | None = None) -> Distance:
    """A regular polygon, or with `inner` (share of the radius) a star; one corner points up."""
    count = corners if inner is None else 2 * corners
    turns = 0.25 + np.arange(count) / count
    radii = np.full(count, radius)
    if inner is not None:
        radii[1::2] *= inner
    return _polygon(x, y, np.stack([radii * np.cos(2 * np.pi * turns), radii * np.sin(2 * np.pi * turns)], axis=1))


def _heart(x: np.ndarray, y: np.ndarray, radius: float) -> Distance:
    turns = np.arange(48) / 48 * 2 * np.pi
    outline = np.stack(
        [
            16 * np.sin(turns) ** 3,
            13 * np.cos(turns) - 5 * np.cos(2 * turns) - 2 * np.cos(3 * turns) - np.cos(4 * turns) + 2.5,
        ],
        axis=1,
    )
    return _polygon(x, y, outline * (radius / 16))


def _crescent(x: np.ndarray, y: np.ndarray, radius: float) -> Distance:
    return np.maximum(_disc(x, y, radius), -_disc(x - 0.45 * radius, y - 0.2 * radius, 0.8 * radius))


def _arrow(x: np.ndarray, y: np.ndarray, radius: float) -> Distance:
    corners = np.array([(1, 0), (0.1, 0.8), (0.1, 0.32), (-0.95, 0.32), (-0.95, -0.32), (0.1, -0.32), (0.1, -0.8)])
    return _polygon(x, y, corners * radius)


def _cross(x: np.ndarray, y: np.ndarray, radius: float) -> Distance:
    return np.minimum(_box(x, y, radius, 0.3 * radius), _box(x, y, 0.3 * radius, radius))


_SHAPES: dict[str, Callable[[np.ndarray, np.ndarray, float], Distance]] = {
    "disc": _disc,
    "ring": lambda x, y, radius: np.abs(_disc(x, y, 0.8 * radius)) - 0.2 * radius,
    "square": lambda x, y, radius: _box(x, y, 0.82 * radius, 0.82 * radius),
    "triangle": lambda x, y, radius: _regular(x, y + 0.15 * radius, 3, 1.1 * radius),
    "hexagon": lambda x, y, radius: _regular(x, y, 6, radius),
    "star": lambda x, y, radius: _regular(x, y, 5, 1.1 * radius, 0.45),
    "cross": _cross,
    "heart": _heart,
    "crescent": _crescent,
    "arrow": _arrow,
}
SHAPES = tuple(_SHAPES)


def shape_label(position: int) -> str:
    """The class of a shape: they take turns."""
    return SHAPES[position % len(SHAPES)]


def shape(position: int) -> np.ndarray:
    """A filled or outlined shape with a soft shadow on a gently shaded ground, antialiased, uint8 (64, 64, 3)."""
    rng = np.random.default_rng([SHAPES_SEED, position])
    label = shape_label(position)
    radius = rng.uniform(14.0, 24.0)
    reach = 0.7 * (SIZE / 2 - 1.1 * radius)
    centre = SIZE / 2 + rng.uniform(-reach, reach, 2)
    angle, shaded_towards = rng.uniform(0, 2 * np.pi, 2)
    ground, ink = _two_colours(rng)
    stroke = rng.uniform(1.1, 2.0) if rng.random() < 0.3 else None

    def distance(x: float, y: float) -> Distance:
        filled = _SHAPES[label](*_grid(angle, (x, y)), radius)
        # An outlined disc would be a ring.
        return filled if stroke is None or label in ("disc", "ring") else np.abs(filled + 2.0) - stroke

    across, _ = _grid(shaded_towards, (SIZE / 2, SIZE / 2))
    shade = 1.0 + rng.uniform(0.04, 0.12) * across / (SIZE / 2)
    shade *= 1.0 - 0.28 / (1.0 + np.exp(distance(centre[0] + 1.0, centre[1] + 1.8) / 1.2))
    cover = np.clip(0.5 - distance(centre[0], centre[1]), 0.0, 1.0)[..., None]
    return _to_bytes(ground * shade[..., None] * (1 - cover) + ink * cover)


def _two_colours(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Ground and ink, one deep and one light, of hues well apart."""
    # A deep colour between orange and green (0.15 to 0.4 turns) is mud.
    hue = 0.4 + 0.75 * rng.random()
    other = hue + rng.uniform(0.2, 0.8)
    deep = _oklab(rng.uniform(0.28, 0.50), rng.uniform(0.05, 0.14), hue)
    light = _oklab(rng.uniform(0.80, 0.94), rng.uniform(0.04, 0.13), other)
    return (deep, light) if rng.random() < 0.5 else (light, deep)


# --- galaxies ---------------------------------------------------------------------------------------------------------

GALAXIES = ("spiral", "elliptical", "edge-on")


def galaxy_label(position: int) -> str:
    """The class of a galaxy: they take turns."""
    return GALAXIES[position % len(GALAXIES)]


def galaxy(position: int) -> np.ndarray:
    """A galaxy on a night sky with stars and grain, uint8 (64, 64, 3)."""
    rng = np.random.default_rng([GALAXIES_SEED, position])
    draw = {"spiral": _spiral, "elliptical": _elliptical, "edge-on": _edge_on}[galaxy_label(position)]
    x, y = SIZE / 2 + rng.uniform(-3.5, 3.5, 2)
    light = draw(rng, (x, y)) * rng.uniform(0.8, 1.3)
    light += _distant_galaxies(rng) + _stars(rng)
    light += _SKY + rng.normal(0, 0.005, (SIZE, SIZE, 1)) + rng.normal(0, 0.002, light.shape)
    return _to_bytes(_stretch(light))


_SKY = np.array([0.010, 0.012, 0.019])
_OLD = np.array([1.0, 0.80, 0.55])  # colours of light, red green blue: old stars, young ones, glowing hydrogen
_YOUNG = np.array([0.48, 0.68, 1.0])
_HYDROGEN = np.array([1.0, 0.30, 0.48])


def _stretch(light: np.ndarray) -> np.ndarray:
    """Lupton's asinh stretch: one factor for all three channels, so that bright cores keep their colour."""
    light = np.maximum(light, 0.0)
    mean = np.maximum(light.mean(axis=2, keepdims=True), 1e-9)
    return light * (np.arcsinh(9.0 * mean) / (np.arcsinh(9.0) * mean))


def _clouds(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Smooth random ups and downs (H, W) of mean 0 and spread about 1: waves of all directions, 7 to 28 px long."""
    total = np.zeros(x.shape)
    for _ in range(24):
        turn, phase = rng.uniform(0, 2 * np.pi, 2)
        wave = 2 * np.pi / rng.uniform(7.0, 28.0)
        total += np.cos(wave * (np.cos(turn) * x + np.sin(turn) * y) + phase)
    return total / np.sqrt(12.0)


def _spiral(rng: np.random.Generator, centre: tuple[float, float]) -> np.ndarray:
    """Logarithmic arms of young stars with pink knots and dust on a disc of old ones, seen at an angle."""
    x, y = _grid(rng.uniform(0, 2 * np.pi), centre)
    y = y / np.cos(rng.uniform(0.0, 1.1))
    radius, angle = np.hypot(x, y) + 1e-9, np.arctan2(y, x)
    arms, pitch, sense = int(rng.choice([2, 2, 2, 3, 4])), rng.uniform(0.26, 0.44), rng.choice([-1.0, 1.0])
    clouds = _clouds(rng, x, y)
    # Clouds shift the ridges as well as dim them: arms that follow the formula too well look like wire.
    phase = arms * (sense * angle - np.log(radius / 4.0) / np.tan(pitch)) + 0.35 * clouds
    begins = 1.0 / (1.0 + np.exp(-(radius - rng.uniform(3.0, 5.0))))
    disc = np.exp(-radius / rng.uniform(7.0, 10.0))
    ridge = np.exp((np.cos(phase) - 1.0) * rng.uniform(1.2, 2.4)) * begins
    knots = ridge**2 * np.maximum(clouds - 0.8, 0.0)
    dust = np.exp((np.cos(phase + 1.1) - 1.0) * 4.0) * begins * rng.uniform(0.2, 0.5)
    bulge = rng.uniform(0.7, 1.2) * np.exp(-((radius / rng.uniform(2.0, 3.4)) ** 1.2))
    if rng.random() < 0.3:
        bulge += 0.55 * np.exp(-((np.abs(x) / 6.0) ** 4) - (y / 1.5) ** 2)  # a bar
    light = (0.30 * disc * (1 - dust))[..., None] * _OLD
    light += (disc * ridge * np.exp(0.35 * clouds))[..., None] * _YOUNG
    return light + (1.1 * disc * knots)[..., None] * _HYDROGEN + bulge[..., None] * _OLD


def _elliptical(rng: np.random.Generator, centre: tuple[float, float]) -> np.ndarray:
    """A bright core with a wide halo (Sersic's law), some with a small companion."""
    warmth = np.array([1.0, 0.82, 0.60]) ** rng.uniform(0.6, 1.4)
    light = _halo(rng, centre, rng.uniform(6.0, 11.0))
    if rng.random() < 0.35:
        turn, apart = rng.uniform(0, 2 * np.pi), rng.uniform(13.0, 20.0)
        light += 0.6 * _halo(rng, (centre[0] + apart * np.cos(turn), centre[1] + apart * np.sin(turn)), 2.5)
    return light[..., None] * warmth


def _halo(rng: np.random.Generator, centre: tuple[float, float], half_light: float) -> np.ndarray:
    x, y = _grid(rng.uniform(0, 2 * np.pi), centre)
    index = rng.uniform(2.2, 4.2)
    radius = np.hypot(np.hypot(x, y / rng.uniform(0.5, 1.0)), 0.8)  # never 0: the core is blurred by the seeing
    return 0.13 * np.exp(-(2.0 * index - 1.0 / 3.0) * ((radius / half_light) ** (1.0 / index) - 1.0))


def _edge_on(rng: np.random.Generator, centre: tuple[float, float]) -> np.ndarray:
    """A thin disc with a lane of dust, a bulge in the middle, ends a little warped."""
    x, y = _grid(rng.uniform(0, 2 * np.pi), centre)
    length, height = rng.uniform(6.5, 10.5), rng.uniform(1.4, 2.6)
    y = y + rng.uniform(-1.2, 1.2) * (x / 20.0) ** 3
    clouds = _clouds(rng, x, 3.0 * y)
    disc = np.exp(-np.abs(x) / length) / np.cosh(y / height) ** 2 * np.exp(0.15 * clouds)
    bulge = rng.uniform(0.7, 1.3) * np.exp(-np.hypot(x, 1.25 * y) / rng.uniform(1.8, 3.2))
    side = rng.uniform(-0.6, 0.6)  # seen a little from above or below
    lane = np.exp(-(((y - side) / rng.uniform(0.6, 0.9)) ** 2)) * np.exp(-((x / (1.9 * length)) ** 2))
    dust = np.clip(1.0 - rng.uniform(0.75, 0.95) * lane * (1.0 + 0.2 * clouds), 0.12, 1.0)
    blue = rng.uniform(0.3, 1.0)
    light = 0.8 * disc[..., None] * (blue * _YOUNG + (1 - blue) * _OLD) + bulge[..., None] * _OLD
    return light * dust[..., None] ** np.array([0.7, 1.0, 1.3])  # dust reddens what it dims


def _distant_galaxies(rng: np.random.Generator) -> np.ndarray:
    light = np.zeros((SIZE, SIZE, 3))
    for _ in range(int(rng.poisson(3))):
        x, y = _grid(rng.uniform(0, np.pi), (rng.uniform(0, SIZE), rng.uniform(0, SIZE)))
        smudge = np.exp(-np.hypot(x, y * rng.uniform(1.2, 3.0)) / rng.uniform(0.7, 1.4))
        light += (rng.uniform(0.03, 0.10) * smudge)[..., None] * np.array([1.0, rng.uniform(0.7, 0.95), 0.7])
    return light


def _stars(rng: np.random.Generator) -> np.ndarray:
    """Stars of Moffat's profile: a few bright ones among many faint, bluish to orange."""
    light = np.zeros((SIZE, SIZE, 3))
    for _ in range(int(rng.poisson(7))):
        x, y = _grid(0.0, (rng.uniform(0, SIZE), rng.uniform(0, SIZE)))
        brightness = min(0.04 * (1.0 + rng.pareto(1.1)), 1.2)
        warmth = rng.uniform(-1.0, 1.0)
        spot = (1.0 + (x * x + y * y) / 0.85**2) ** -2.8
        light += (brightness * spot)[..., None] * np.array([1.0 + 0.22 * warmth, 1.0, 1.0 - 0.28 * warmth])
    return light

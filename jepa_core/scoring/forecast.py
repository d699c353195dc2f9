"""About how long each method takes for a set, before anything of it is computed."""

from jepa_core.encoders.spec import EncoderSpec
from jepa_core.scoring import allocator
from jepa_core.scoring.allocator import Prices
from jepa_core.scoring.method import METHODS
from jepa_core.wording import lasting

USUAL_CALIBRATION = 256
"""Full scores that balanced estimates took on trained encoders: most between 64 and 500 (docs/performance.md)."""


def seconds(prices: Prices, images: int) -> dict[str, float]:
    """Seconds of each method in `METHODS` for so many images.

    >>> {name: round(of) for name, of in seconds(Prices(0.1, 0.04, 10.0), 10_000).items()}
    {'exact': 100000, 'balanced': 3560, 'quick': 1300}
    """
    looks, exact = images * prices.look, images * prices.full
    return {
        "exact": exact,
        "balanced": min(looks + USUAL_CALIBRATION * prices.full, exact),
        "quick": min(looks + allocator.quick_calibration(images, prices, 0) * prices.full, exact),
    }


def prices_of(spec: EncoderSpec, output: str, device: str) -> Prices:
    """What is measured of a device once, by an encoder of a usual shape, in the proportions of this one."""
    from jepa_core.encoders import cost  # torch, for which no page shall wait

    full = cost.seconds_an_image(spec, output, device)
    look = full / (1 + allocator.PRODUCT_SHARE * spec.outputs[output])
    return Prices(look, allocator.PRODUCT_SHARE * look, full)


def in_words(prices: Prices, images: int) -> str:
    """One sentence: each method with its time."""
    times = seconds(prices, images)
    parts = [f"{title.lower()} about {lasting(times[name])}" for name, title in reversed(METHODS.items())]
    return f"For {images:,} images here: {', '.join(parts)}."

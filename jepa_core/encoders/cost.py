"""What an encoder costs here, found out before any of its weights are downloaded: seconds an image, and the download.

A full score is K vector-Jacobian products of about one forward pass each, so it takes K x F / R seconds: F, the FLOP of
a forward pass, is counted on a network without weights, and R is what the engine reaches on this machine, measured once
with a small vision transformer of random weights. Compiling for the first image, decoding and the Gram come on top.
"""

import time
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from jepa_core.encoders import download
from jepa_core.encoders.encoder import build_net
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import EncoderError
from jepa_core.jacobian.engine import Engine, Precision

# A ViT-S at 112 px with a quarter of its blocks: its products have the shapes of the whole one.
_PROBE = EncoderSpec(
    "probe",
    "random",
    "bundled",
    "vit_small_patch14_dinov2",
    {"backbone": 384},
    {"img_size": 112, "depth": 3},
)
_PROBE_ROWS = 96


@lru_cache(maxsize=64)
def _forward_flop(architecture: str, kwargs: tuple, size: tuple[int, ...]) -> int:
    spec = EncoderSpec("", "", "timm", architecture, {"backbone": 0}, dict(kwargs))
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        # The counter follows gradients where weights ask for them, and fails at weights that are used as an input.
        build_net(spec).eval().requires_grad_(False)(torch.empty(1, *size))
    return counter.get_total_flops()


def forward_flop(spec: EncoderSpec) -> int:
    """FLOP of one forward pass of one image through the backbone, by its products. No weights are made."""
    return _forward_flop(
        spec.architecture, tuple(spec.architecture_kwargs.items()), tuple(spec.data_config["input_size"])
    )


@lru_cache(maxsize=8)
def engine_rate(device: str, precision: Precision = "fp32") -> float:
    """FLOP a second that the engine reaches on a device, in nominal forward FLOP for each cotangent."""
    f = build_net(_PROBE).eval().requires_grad_(False).to(device)
    image = torch.randn(1, 3, 112, 112, device=device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        f(image)
    engine = Engine(f, image[0], rows=_PROBE_ROWS, precision=precision)
    images, directions = image.expand(engine.plan.images, -1, -1, -1), torch.eye(_PROBE_ROWS, engine.k)
    engine.gram(images, directions)  # traces
    start = time.perf_counter()
    engine.gram(images, directions)
    seconds = time.perf_counter() - start
    return counter.get_total_flops() * _PROBE_ROWS * len(images) / seconds


def seconds_an_image(spec: EncoderSpec, output: str, device: str, precision: Precision = "fp32") -> float:
    """About how many seconds a full score of one image takes on a device."""
    return spec.outputs[output] * forward_flop(spec) / engine_rate(device, precision)


@dataclass(frozen=True)
class EncoderCost:
    """What the server of its weights says of an encoder of timm, and what a score would take on a device."""

    origin: str  # where the weights are
    size: str  # of their download, in words
    access: str  # who may have them, or the sentence that says why that cannot be known
    obtainable: bool  # whether they are here already, or can be downloaded
    seconds: dict[str, float]  # output -> of a full score of one image, about


def cost_of(spec: EncoderSpec, device: str) -> EncoderCost:
    """Ask the server, unless the weights are here, and measure the machine. What the server refuses is a part of it."""
    seconds = {output: seconds_an_image(spec, output, device) for output in spec.outputs}
    remote = download.remote_of(spec.architecture)
    try:
        weights = download.look_up(remote)
    except EncoderError as error:
        return EncoderCost(str(remote), f"about {spec.megabytes:.0f} MB", str(error), False, seconds)
    return EncoderCost(str(remote), weights.megabytes, weights.access, True, seconds)

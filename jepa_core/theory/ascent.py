"""What does an encoder find likely? Climb its score from a picture and from noise.

This is ascent, not sampling: it goes uphill until it is stopped, and where it ends is what the score likes best nearby,
not what is typical. Steps have one length: x <- x + eta g / rms(g), kept within what a picture can be (0 to 1).
"""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jepa_core.theory.experiment import Cell, Experiment, Result, Step, rounded

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

ENCODERS = ("digits", "world")
TERMS = {"score": "score alone", "term": "score with the Gaussian term"}
_FRAMES = 6


@dataclass(frozen=True)
class Settings:
    """The encoder (its default output), the start (a held-out image, or -1 for noise), and what is climbed."""

    encoder: str = "digits"
    image: int = 0
    climb: str = "score"
    steps: int = 40
    step_size: float = 0.05


def slope_of(
    module: "nn.Module", point: "Float[Tensor, 'channel height width']", rank: int, term: bool
) -> "tuple[Float[Tensor, 'channel height width'], float, float]":
    """(gradient of what is climbed, the score, the score with the Gaussian term) at one normalised input.

    The K rows of the Jacobian come from K copies of the input; the score is half the sum of the logs of the Gram's
    `rank` largest eigenvalues. Attention is computed unfused, which alone can be differentiated twice.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    point = point.detach().requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):
        k = module(point.detach()[None]).shape[-1]
        copies = point.expand(k, *point.shape)
        embedded = module(copies)
        (rows,) = torch.autograd.grad(embedded.diagonal().sum(), copies, create_graph=True)
        rows = rows.flatten(1).double()
        score = torch.linalg.eigvalsh(rows @ rows.T)[-rank:].clamp_min(1e-30).log().sum() / 2
        with_term = score - embedded[0].double().square().sum() / 2
        (slope,) = torch.autograd.grad(with_term if term else score, point)
    return slope, score.item(), with_term.item()


def run(settings: Settings) -> Iterator[Step]:
    """Climb, and keep the picture and its scores on the way."""
    import torch

    from jepa_core import images
    from jepa_core.datasets import registry
    from jepa_core.encoders.registry import load_encoder
    from jepa_core.scoring.encoder_output import EncoderOutput

    encoder = load_encoder(settings.encoder, "cpu")
    output = encoder.spec.default_output
    mean, std = (torch.tensor(encoder.data_config[name])[:, None, None] for name in ("mean", "std"))
    if settings.image < 0:
        drawn = torch.rand(encoder.input_shape, generator=torch.Generator().manual_seed(-settings.image))
        point = (drawn - mean) / std
    else:
        items = list(registry.get_dataset(encoder.spec.reference).items())
        point = encoder.preprocess(images.decode(items[settings.image % len(items)].read()).image)
    rank = EncoderOutput.of(encoder, output).rank.rank
    every = max(1, settings.steps // (_FRAMES - 1))
    path: list[Result] = []
    frames: list[Result] = []
    for step in range(settings.steps + 1):
        slope, score, term = slope_of(encoder.module(output), point, rank, settings.climb == "term")
        path.append({"step": step, "score": rounded(score, 5), "term": rounded(term, 5)})
        if step % every == 0 or step == settings.steps:
            pixels = (255 * (point * std + mean).clamp(0, 1)).round().byte().permute(1, 2, 0).numpy()
            coded = base64.b64encode(pixels.tobytes()).decode()
            frames.append({"step": step, "shape": list(pixels.shape), "pixels": coded})
        yield Step(step, settings.steps, {"path": path, "frames": frames})
        moved = point + settings.step_size * slope / slope.square().mean().sqrt().clamp_min(1e-12)
        point = ((moved * std + mean).clamp(0, 1) - mean) / std


def picture(frame: Result) -> np.ndarray:
    """A frame as (height, width, 3) of uint8."""
    pixels = np.frombuffer(base64.b64decode(frame["pixels"]), dtype=np.uint8).reshape(frame["shape"])
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def table(cells: Sequence[Cell]) -> pd.DataFrame:
    """A line for each climb: where it started and how far the score and the Gaussian term's version rose."""
    return pd.DataFrame(
        {
            "encoder": cell.settings.encoder,
            "from": "noise" if cell.settings.image < 0 else f"image {cell.settings.image}",
            "climbed": TERMS[cell.settings.climb],
            "steps": cell.settings.steps,
            "score at first": cell.result["path"][0]["score"],
            "score at last": cell.result["path"][-1]["score"],
            "with term at first": cell.result["path"][0]["term"],
            "with term at last": cell.result["path"][-1]["term"],
        }
        for cell in cells
    )


ASCENT = Experiment(
    name="ascent",
    title="Climbing an encoder's score",
    look_for="Uphill from a picture and from noise: this is ascent, not sampling. If the score knew what pictures look "
    "like, noise would turn into one; watch whether it does, and what becomes of the picture.",
    version=1,
    settings=Settings,
    run=run,
    cells=tuple(
        Settings(encoder=encoder, image=image, climb=climb)
        for encoder in ENCODERS
        for climb in TERMS
        for image in (0, 7, -1)
    ),
    table=table,
)

"""How exact the float32 scores are: against naive float64 autodiff and a full SVD, over kinds of architectures.

    python benchmarks/exactness.py [--device cuda] [--precision fp32] [--compiled] [--architecture TITLE ...]

The timm architectures have random but not degenerate weights: `enliven` gives every layer gains, offsets and running
statistics as uneven as training would. Their images are tiles of photos, so that the scores differ as they do between
real images. The bundled encoder comes with its trained weights and is given test digits. With `--compiled` each graph
is compiled at its first use, which a long run does later, on a GPU.
"""

import argparse
import copy
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jepa_core import images
from jepa_core.datasets import registry
from jepa_core.encoders.encoder import Encoder, build_net
from jepa_core.encoders.registry import load_encoder
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.jacobian import rank, spectrum
from jepa_core.jacobian.batch_plan import BatchPlan
from jepa_core.jacobian.engine import Engine
from jepa_core.jacobian.precision import PRECISIONS, Precision
from jepa_core.jacobian.traced import COMPILED_AFTER


@dataclass(frozen=True)
class Architecture:
    """A timm model: `full` are its keywords for the benchmark, `small` those added for a quick test."""

    title: str
    model: str
    full: dict[str, Any]
    size: int
    small: dict[str, Any] = field(default_factory=dict)
    small_size: int = 0


_SMALL_VIT = {"img_size": 16, "patch_size": 4, "embed_dim": 48, "depth": 2, "num_heads": 3}
_SMALL_RESNET = {"layers": (1, 1, 1, 1), "channels": (8, 16, 24, 32)}

ARCHITECTURES = (
    Architecture("ViT, class token", "vit_tiny_patch16_224", {"img_size": 64, "patch_size": 8}, 64, _SMALL_VIT, 16),
    Architecture(
        "ViT, average pooling then LayerNorm",
        "vit_tiny_patch16_224",
        {"img_size": 64, "patch_size": 8, "global_pool": "avg", "class_token": False, "fc_norm": True},
        64,
        _SMALL_VIT,
        16,
    ),
    Architecture(
        "ViT, LayerNorm then average pooling",
        "vit_tiny_patch16_224",
        {"img_size": 64, "patch_size": 8, "global_pool": "avg", "class_token": False, "fc_norm": False},
        64,
        _SMALL_VIT,
        16,
    ),
    Architecture("ResNet, batch-norm, ReLU", "resnet18", {}, 64, _SMALL_RESNET, 48),
    Architecture("ResNet, batch-norm, SiLU", "resnet18", {"act_layer": "silu"}, 64, _SMALL_RESNET, 48),
    Architecture(
        "DINOv2 ViT-S/14",
        "vit_small_patch14_dinov2",
        {"img_size": 56},
        56,
        {"embed_dim": 48, "depth": 2, "num_heads": 3},
        56,
    ),
    Architecture("ConvNeXt", "convnext_atto", {}, 64, {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}, 32),
)


@dataclass(frozen=True)
class Comparison:
    """Float32 against float64 on the same weights and images."""

    k: int
    rank: int
    condition: float  # the largest sigma_1 / sigma_rank among the images
    log_sigma_difference: float  # the largest, over images and k up to the rank
    score_difference: float  # the largest, as a share of the standard deviation of the scores between images
    seconds32: float  # an image
    seconds64: float


def enliven(module: nn.Module, seed: int = 0) -> None:
    """Random weights far from any symmetry, in place: matrices keep the scale of their input, the rest is jittered."""
    generator = torch.Generator().manual_seed(seed)

    def normal(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator)

    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1 and "embed" not in name.rpartition(".")[2]:
                parameter.copy_(normal(parameter) / parameter[0].numel() ** 0.5)
            else:
                parameter.add_(0.2 * normal(parameter))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.3 * normal(buffer))
            if name.endswith("running_var"):
                buffer.copy_(torch.exp(0.5 * normal(buffer)))


def build(architecture: Architecture, *, small: bool, device: str = "cpu") -> Encoder:
    """The architecture as an encoder with enlivened random weights."""
    kwargs = architecture.full | (architecture.small if small else {})
    size = architecture.small_size if small else architecture.size
    spec = EncoderSpec(
        name=architecture.title,
        family="random",
        source="bundled",
        architecture=architecture.model,
        architecture_kwargs=kwargs,
        outputs={"backbone": 0},
        data_config={"input_size": [3, size, size]},
    )
    net = build_net(spec)
    enliven(net)
    return Encoder(spec, net, device)


def inputs_of(encoder: Encoder, dataset: str, count: int) -> Tensor:
    """Normalised inputs (B, C, H, W) from a random part of a dataset."""
    items = registry.sample(registry.get_dataset(dataset), count, seed=0)
    return torch.stack([encoder.preprocess(images.decode(item.read()).image) for item in items])


def reference_spectra(module: nn.Module, inputs: Tensor) -> ndarray:
    """The singular values by the shortest code there is: float64, one image at a time, full Jacobian, full SVD."""
    wide = copy.deepcopy(module).double()
    spectra = []
    for image in inputs.double():
        # Two copies: for a batch of one PyTorch's batch-norm can have a wrong gradient, in float64 too.
        rows = torch.autograd.functional.jacobian(lambda x: wide(torch.stack([x, x]))[0], image)
        spectra.append(torch.linalg.svdvals(rows.flatten(1)).cpu().numpy())
    return np.stack(spectra)


def compare(
    module: nn.Module,
    inputs: Tensor,
    precision: Precision = "fp32",
    *,
    compiled: bool = False,
    plan: BatchPlan | None = None,
) -> Comparison:
    """The core's spectra and scores in a precision beside the reference's; with `compiled` by compiled graphs."""
    after = 0 if compiled else COMPILED_AFTER
    engine = Engine(module, inputs[0], precision=precision, plan=plan, compiled_after=after)
    if compiled:
        engine.gram(inputs)
    start = time.perf_counter()
    ours = spectrum.singular_values(engine.gram(inputs).gram.numpy())
    between = time.perf_counter()
    truth = reference_spectra(module, inputs)
    end = time.perf_counter()
    # What images of random networks show: with a ReLU in them, numbers that stand still differ from image to image.
    used = spectrum.observed_rank(rank.architectural_rank(module, inputs[:2]), truth).rank
    scores = spectrum.jepa_score(truth, used)
    return Comparison(
        k=truth.shape[1],
        rank=used,
        condition=float((truth[:, 0] / truth[:, used - 1]).max()),
        log_sigma_difference=float(np.abs(np.log(ours[:, :used]) - np.log(truth[:, :used])).max()),
        score_difference=float(np.abs(spectrum.jepa_score(ours, used) - scores).max() / np.std(scores)),
        seconds32=(between - start) / len(inputs),
        seconds64=(end - between) / len(inputs),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--compiled", action="store_true", help="compile each graph first (on a GPU)")
    parser.add_argument("--architecture", action="append", metavar="TITLE", help="only this one; may be given again")
    args = parser.parse_args()
    print("| encoder | K | rank | condition | log sigma difference | score difference / spread | s | s fp64 |")
    print("|---|---|---|---|---|---|---|---|")
    for title, encoder, output, dataset, count in _cases(args.device):
        if args.architecture is None or title in args.architecture:
            inputs = inputs_of(encoder, dataset, count).to(args.device)
            found = compare(encoder.module(output), inputs, args.precision, compiled=args.compiled)
            _print_row(title, found)


def _cases(device: str) -> Iterator[tuple[str, Encoder, str, str, int]]:
    """Title, encoder, output, and from which dataset how many images are taken."""
    for architecture in ARCHITECTURES:
        encoder = build(architecture, small=False, device=device)
        yield f"{architecture.title}, {architecture.size} px", encoder, "backbone", "photo-tiles", 4
    digits = load_encoder("digits", device)
    for output in digits.spec.outputs:
        yield f"digits (trained), {output}", digits, output, "digits-test", 24


def _print_row(title: str, found: Comparison) -> None:
    print(
        f"| {title} | {found.k} | {found.rank} | {found.condition:.0f} | {found.log_sigma_difference:.1e} | "
        f"{found.score_difference:.1e} | {found.seconds32:.2f} | {found.seconds64:.2f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()

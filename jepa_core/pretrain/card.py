"""Writing an encoder down: weights as safetensors, and beside them a model card that can be read and checked.

The card says what was trained on what, how, in how long, how good it is by what measure, and how to make it again.
"""

import json
import math
import os
import platform
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from numpy import ndarray
from torch import nn

from jepa_core.encoders.encoder import build_net, resolve_data_config, weights_digest
from jepa_core.encoders.network import EncoderNet
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.jacobian import engine, rank, spectrum
from jepa_core.pretrain import evaluate, inputs
from jepa_core.pretrain.inputs import TrainingData
from jepa_core.pretrain.recipes import RECIPES, Recipe
from jepa_core.pretrain.sigreg import GAUSSIAN_EXPECTATION

PAPER = "Balestriero and LeCun, LeJEPA, arXiv 2511.08544"
LICENCE = "MIT"

_RAW_PIXELS = 1_000  # values of an input; a probe on 3,072 of 12,000 pictures takes minutes


def training_spec(recipe: Recipe, data: TrainingData) -> EncoderSpec:
    """The spec of the encoder that a recipe makes; the projector's output is the default, being the Gaussian one."""
    return EncoderSpec(
        name=recipe.name,
        family="LeJEPA",
        source="bundled",
        architecture=recipe.architecture,
        architecture_kwargs=recipe.architecture_kwargs,
        outputs={"projector": recipe.projector[-1]},
        projector=recipe.projector,
        data_config=data.data_config,
        training=data.source.training,
        reference=data.source.reference,
        licence=LICENCE,
        paper=PAPER,
        description=recipe.description,
    )


def write(
    trained: EncoderNet, recipe: Recipe, data: TrainingData, out_dir: Path, *, seconds: float, device: str
) -> Path:
    """Measure a trained network as it will be loaded, write its pair of files, return the card's path."""
    import safetensors.torch

    spec = training_spec(recipe, data)
    weights = _weights(trained, recipe.half_weights)
    with torch.random.fork_rng():  # the random weights are overwritten, and the caller's random state left alone
        net = build_net(spec)
    net.load_state_dict(weights)
    net.explicit_attention()
    net.eval()
    outputs: dict[str, nn.Module] = {"projector": net, "backbone": net.backbone}
    embeddings = {
        output: {name: evaluate.embed(module, part.pictures, data.data_config) for name, part in data.parts.items()}
        for output, module in outputs.items()
    }
    content = {
        "name": spec.name,
        "family": spec.family,
        "description": spec.description,
        "architecture": spec.architecture,
        "architecture_kwargs": spec.architecture_kwargs,
        "projector": list(spec.projector),
        "outputs": {output: by_part["train"].shape[1] for output, by_part in embeddings.items()},
        "data_config": resolve_data_config(spec, net.backbone),
        "weights_digest": weights_digest(net),
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "ranks": _ranks(outputs, data),
        "training": spec.training,
        "reference": spec.reference,
        "licence": spec.licence,
        "paper": spec.paper,
        "data": f"{data.source.description}: {data.summary}",
        "terms": data.source.terms,
        "recipe": asdict(recipe),
        "remake": _remake(recipe),
        "seconds": round(seconds),
        "hardware": _hardware(device),
        "metrics": _metrics(embeddings, data),
        "known_failures": list(recipe.limits),
    }
    path = out_dir / f"{recipe.name}.json"
    # Weights before the card: a card is what makes an encoder known, so it must not appear without its weights.
    _replace(path.with_suffix(".safetensors"), safetensors.torch.save(weights))
    _replace(path, (json.dumps(content, indent=1) + "\n").encode())
    return path


def _weights(net: EncoderNet, half: bool) -> dict[str, torch.Tensor]:
    """The tensors to store, in float16 if `half`; counters stay whole numbers."""
    return {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in net.state_dict().items()
    }


def _replace(path: Path, content: bytes) -> None:
    """Write beside and rename, so that a reader sees the old file or the new one, never half of one."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    partial.replace(path)


def _ranks(outputs: dict[str, nn.Module], data: TrainingData) -> dict[str, dict[str, Any]]:
    """For each output what its layers allow, and whether calibration images show it."""
    chosen = data.parts["train"].pictures[: spectrum.CALIBRATION_IMAGES]
    images = inputs.normalise(inputs.to_float(chosen), data.data_config)
    ranks = {}
    for output, module in outputs.items():
        spectra = spectrum.singular_values(engine.Engine(module, images[0]).gram(images).gram.numpy())
        allowed = rank.architectural_rank(module, images)
        ranks[output] = asdict(replace(allowed, reason=spectrum.observed_rank(allowed, spectra).reason))
    return ranks


def _metrics(embeddings: dict[str, dict[str, ndarray]], data: TrainingData) -> dict[str, Any]:
    """Probes and neighbours of each output and of raw pixels, by part; how the held-out projector embeddings lie.

    Without classes no part has an accuracy.
    """
    metrics: dict[str, Any] = {"linear_probe": {}, "nearest_neighbours": {}, "probe_c": {}}
    for output, by_part in (embeddings | _raw_pixels(data)).items():
        features = {name: (by_part[name], part.labels) for name, part in data.parts.items()}
        probe = evaluate.linear_probe(features)
        metrics["linear_probe"][output] = _rounded(probe.accuracy)
        metrics["probe_c"][output] = probe.c
        metrics["nearest_neighbours"][output] = _rounded(evaluate.nearest_neighbours(features))
    held_out = ("validation", "test")
    metrics["effective_rank"] = {
        output: _rounded({part: evaluate.effective_rank(embeddings[output][part]) for part in held_out})
        for output in embeddings
    }
    metrics["sigreg"] = _rounded({part: evaluate.gaussianity(embeddings["projector"][part]) for part in held_out}) | {
        "exact_gaussian": round(GAUSSIAN_EXPECTATION, 4)
    }
    metrics["qq"] = {
        name: [round(value, 4) for value in column]
        for name, column in evaluate.quantiles(embeddings["projector"]["test"]).items()
    }
    return metrics


def _raw_pixels(data: TrainingData) -> dict[str, dict[str, ndarray]]:
    """The inputs as if they were embeddings, where they are short enough."""
    if math.prod(data.data_config["input_size"]) > _RAW_PIXELS:
        return {}
    return {
        "raw_pixels": {name: inputs.to_float(part.pictures).flatten(1).numpy() for name, part in data.parts.items()}
    }


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def _remake(recipe: Recipe) -> str:
    """The command that trains this encoder again."""
    for name, known in RECIPES.items():
        if replace(recipe, name=name) == known:
            folder = " --data FOLDER" if recipe.data == "folder" else ""
            renamed = "" if recipe.name == name else f" --name {recipe.name}"
            return f"python -m jepa_core pretrain {name}{folder}{renamed}"
    return "jepa_core.pretrain.pretrain(Recipe(...)) with the recipe of this card"


def _hardware(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{threads} thread{'s' * (threads > 1)} on {os.cpu_count()} {platform.machine()} cores"

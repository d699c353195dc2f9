"""The training loop: views -> embeddings -> (1 - lambda) * invariance + lambda * SIGReg -> AdamW, warm-up then cosine.

No teacher, no predictor, no stop-gradient: SIGReg alone keeps the embeddings from collapsing. All chance comes from one
generator, and a checkpoint holds its state, so an interrupted run ends at the weights of an uninterrupted one.

Source: Balestriero and LeCun, LeJEPA, arXiv 2511.08544.
"""

import math
import re
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from jepa_core.config import ASSETS, cache_dir
from jepa_core.encoders.encoder import build_net, choose_device
from jepa_core.encoders.network import EncoderNet
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import EncoderError, JepaError
from jepa_core.pretrain import card, evaluate, inputs
from jepa_core.pretrain.inputs import TrainingData
from jepa_core.pretrain.recipes import Recipe, get_recipe
from jepa_core.pretrain.sigreg import sigreg
from jepa_core.pretrain.views import random_views

Log = Callable[[str], None]

_PROBE_PICTURES = 5_000  # train pictures of a live probe, so that it stays cheap


class Losses(NamedTuple):
    """The two terms of the loss, and their weighted sum."""

    invariance: Tensor
    sigreg: Tensor
    total: Tensor


@dataclass
class Training:
    """All that changes while training."""

    net: EncoderNet
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    step: int = 0
    seconds: float = 0.0


def pretrain(
    recipe: str | Recipe,
    out_dir: Path | None = None,
    *,
    data: Path | None = None,
    name: str | None = None,
    log: Log = lambda _line: None,
    resume: bool = True,
    device: str = "cpu",
) -> Path:
    """Train an encoder and write `NAME.safetensors` and its model card `NAME.json` into a folder.

    Args:
        recipe: a name in `RECIPES`, or a recipe of one's own.
        out_dir: made if missing; `encoders` of the cache folder for None. An earlier pair of that name is replaced at
            the end, not before.
        data: the folder of pictures, for a recipe that trains on one; its sub-folders are classes, which only the
            probes see. A folder of `train` and `val` alone keeps `val` as the test part.
        name: of the encoder and its files; the recipe's for None.
        log: called with one line of progress at a time.
        resume: go on from the checkpoint of an interrupted run, if the folder holds one.
        device: where to train. Weights differ in their last digits between kinds of machine.

    Returns:
        The path of the card.

    Raises:
        UnknownName: for a recipe there is not.
        DatasetError: for a folder of pictures that is missing, superfluous, cannot be listed or has too few.
        EncoderError: for a checkpoint that is damaged or was written under another recipe or with other pictures, for
            a name that no file can have, and for a device that is not there.
        JepaError: for a folder that cannot be made or written; where that shows at once, before anything is trained.
    """
    recipe = _named(get_recipe(recipe) if isinstance(recipe, str) else recipe, name)
    device = choose_device(device)
    out_dir = out_dir or cache_dir() / "encoders"
    with _writing_to(out_dir):
        out_dir.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out_dir).close()  # a folder may be there and yet take no file
    pictures = inputs.load(recipe, data)
    log(f"{recipe.name}: {pictures.summary}, {pictures.unreadable} unreadable")
    checkpoint = out_dir / f"{recipe.name}.checkpoint"
    state = begin(recipe, build(recipe, card.training_spec(recipe, pictures)), device)
    if resume and checkpoint.exists():
        _restore(state, checkpoint, recipe, pictures)
        log(f"resumed at step {state.step} from {checkpoint}")
    while state.step < recipe.steps:
        _train_until_checkpoint(state, recipe, pictures, log)
        if state.step < recipe.steps:
            with _writing_to(out_dir):
                _save(state, checkpoint, recipe, pictures)
    with _writing_to(out_dir):
        path = card.write(state.net, recipe, pictures, out_dir, seconds=state.seconds, device=device)
        checkpoint.unlink(missing_ok=True)
    log(f"wrote {path}")
    if _is_overshadowed(path):
        log(_stays_in_use(recipe.name))
    return path


def _stays_in_use(name: str) -> str:
    bundled = shlex.quote(str(ASSETS / "encoders"))
    return (
        f"The bundled encoder {name!r} stays in use, since no other of its name replaces it; to replace it, "
        f"train with --out {bundled}, or copy the two files there."
    )


def _named(recipe: Recipe, name: str | None) -> Recipe:
    """The recipe under another name; `EncoderError` for one that could be no file's on some machine."""
    if name is None:
        return recipe
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise EncoderError(
            f"An encoder cannot be named {name!r}; letters, digits, '.', '_' and '-' are accepted, a letter or digit "
            "first; choose another name."
        )
    return replace(recipe, name=name)


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JepaError(
            f"The encoder cannot be written to {folder} ({error.strerror}); a folder that can be made and written is "
            "accepted; choose another."
        ) from error


def _is_overshadowed(card_path: Path) -> bool:
    """Whether a bundled encoder has the name of this card and is not this one."""
    bundled = ASSETS / "encoders" / card_path.name
    return bundled.exists() and not bundled.samefile(card_path)


def build(recipe: Recipe, spec: EncoderSpec) -> EncoderNet:
    """The untrained network of a recipe, the same for the same seed; the caller's random state is left alone.

    Where local views have a size of their own it takes any; the finished encoder takes its input's size only.
    """
    if recipe.local_views and recipe.local_size:
        spec = replace(spec, architecture_kwargs=spec.architecture_kwargs | {"dynamic_img_size": True})
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        net = build_net(spec)
    net.explicit_attention()  # no slower on CPUs in float32, and three times as fast in bfloat16
    return net


def begin(recipe: Recipe, net: EncoderNet, device: str) -> Training:
    """Step 0 of a training."""
    from timm.optim import param_groups_weight_decay

    net.to(device).train()
    # Shrinking a bias or a norm's gain towards 0 is no regularisation; those groups are left alone.
    groups = param_groups_weight_decay(net, recipe.weight_decay)
    optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate)
    return Training(net, optimiser, torch.Generator(device).manual_seed(recipe.seed))


def lejepa_loss(embeddings: Float[Tensor, "views batch k"], recipe: Recipe, generator: torch.Generator) -> Losses:
    """(1 - lambda) * mean |z_v - mean of the global views' z|^2 / K + lambda * SIGReg(z).

    The first `recipe.global_views` views are the global ones. Nothing is detached: both sides of the difference learn.
    """
    centre = embeddings[: recipe.global_views].mean(dim=0)
    invariance = (embeddings - centre).square().mean()
    regular = sigreg(embeddings, recipe.sigreg_directions, generator)
    return Losses(invariance, regular, (1 - recipe.sigreg_weight) * invariance + recipe.sigreg_weight * regular)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear over the warm-up steps, then half a cosine down to 0 at the last step."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    progress = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return recipe.learning_rate * (1 + math.cos(math.pi * progress)) / 2


def draw_views(
    pictures: Float[Tensor, "batch channel height width"], recipe: Recipe, generator: torch.Generator
) -> list[Tensor]:
    """The random views of a batch, the global ones first; values in [0, 1]."""
    size = recipe.input_size[1:]
    views = [random_views(pictures, recipe.global_view, size, generator) for _ in range(recipe.global_views)]
    local_size = recipe.local_size or size
    return views + [random_views(pictures, recipe.local_view, local_size, generator) for _ in range(recipe.local_views)]


def embed_views(net: EncoderNet, views: list[Tensor]) -> Float[Tensor, "views batch k"]:
    """The embeddings of normalised views, those of equal size next to each other.

    The backbone runs once a size. The projector runs once over all, so that its batch norm learns one mean and one
    deviation for all views, not by turns those of each size.
    """
    sizes = groupby(views, key=lambda view: view.shape)
    features = torch.cat([net.backbone(torch.cat(list(group))) for _size, group in sizes])
    return net.projector(features).unflatten(0, (len(views), -1))


def train_step(
    state: Training,
    recipe: Recipe,
    pictures: UInt8[Tensor, "n channel height width"],
    data_config: dict[str, Any],
) -> Losses:
    """One batch, drawn without replacement from `pictures`, the whole train part on the training's device."""
    chosen = torch.randperm(len(pictures), generator=state.generator, device=pictures.device)[: recipe.batch]
    views = draw_views(inputs.to_float(pictures[chosen]), recipe, state.generator)
    with torch.autocast(pictures.device.type, torch.bfloat16, enabled=recipe.bf16):
        embeddings = embed_views(state.net, [inputs.normalise(view, data_config) for view in views])
    losses = lejepa_loss(embeddings.float(), recipe, state.generator)
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(recipe, state.step)
    state.optimiser.zero_grad(set_to_none=True)
    losses.total.backward()
    state.optimiser.step()
    state.step += 1
    return losses


def _train_until_checkpoint(state: Training, recipe: Recipe, data: TrainingData, log: Log) -> None:
    pictures = data.originals.to(state.generator.device)
    start = time.perf_counter()
    before = state.seconds
    for _ in range(min(recipe.checkpoint_every, recipe.steps - state.step)):
        losses = train_step(state, recipe, pictures, data.data_config)
        state.seconds = before + time.perf_counter() - start
        if state.step % recipe.probe_every == 0 or state.step == recipe.steps:
            log(_progress_line(state, recipe, losses, data))


def _progress_line(state: Training, recipe: Recipe, losses: Losses, data: TrainingData) -> str:
    """The loss terms of the last step, and on the validation part: probe, effective rank, how Gaussian."""
    parts = {"train": data.parts["train"].sample(_PROBE_PICTURES), "validation": data.parts["validation"]}
    features = {
        name: (evaluate.embed(state.net.backbone, part.pictures, data.data_config), part.labels)
        for name, part in parts.items()
    }
    projected = evaluate.embed(state.net, parts["validation"].pictures, data.data_config)
    accuracy = evaluate.linear_probe(features).accuracy
    return (
        f"{recipe.name} step {state.step}/{recipe.steps} {state.seconds:.0f} s"
        f" loss {losses.total.item():.4f} invariance {losses.invariance.item():.4f} sigreg {losses.sigreg.item():.3f}"
        f" | validation probe {accuracy.get('validation', math.nan):.3f}"
        f" effective rank {evaluate.effective_rank(projected):.1f} of {projected.shape[1]}"
        f" sigreg {evaluate.gaussianity(projected):.2f}"
    )


def _identity(recipe: Recipe, data: TrainingData) -> str:
    """What must be the same for a checkpoint to go on: the recipe, but for the words of its card, and the pictures."""
    return f"{replace(recipe, description='', limits=())!r} {data.digest}"


def _save(state: Training, path: Path, recipe: Recipe, data: TrainingData) -> None:
    """Write beside and rename, so that a kill in the middle leaves the checkpoint before."""
    content = {
        "identity": _identity(recipe, data),
        "net": state.net.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "generator": state.generator.get_state(),
        "step": state.step,
        "seconds": state.seconds,
    }
    partial = path.with_name(path.name + ".partial")
    torch.save(content, partial)
    partial.replace(path)


def _restore(state: Training, path: Path, recipe: Recipe, data: TrainingData) -> None:
    remedy = f"remove {path} or train without resuming"
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        written_under = content["identity"]
    except Exception as error:  # torch.load has no error of its own: a damaged file shows as any of half a dozen
        raise EncoderError(f"The checkpoint {path} cannot be read ({type(error).__name__}); {remedy}.") from error
    if written_under != _identity(recipe, data):
        raise EncoderError(
            f"The checkpoint {path} was written under another recipe than {recipe.name!r} as it is now or with "
            f"other pictures; only the same recipe and pictures go on from it; {remedy}."
        )
    try:
        state.net.load_state_dict(content["net"])
        state.optimiser.load_state_dict(content["optimiser"])
        state.generator.set_state(content["generator"])
        state.step, state.seconds = content["step"], content["seconds"]
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        why = str(error).splitlines()[-1].strip()
        raise EncoderError(
            f"The checkpoint {path} is not that of a training of {recipe.name!r} ({why}); {remedy}."
        ) from error
    if not all(weight.isfinite().all() for weight in state.net.parameters()):
        raise EncoderError(
            f"The checkpoint {path} holds weights that are not finite; only finite ones go on; {remedy}."
        )

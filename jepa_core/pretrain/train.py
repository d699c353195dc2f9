"""The training loop: views -> embeddings -> (1 - lambda) * invariance + lambda * SIGReg -> AdamW, warm-up then cosine.

No teacher, no predictor, no stop-gradient: SIGReg alone keeps the embeddings from collapsing. All chance comes from one
generator, and a checkpoint holds its state, so an interrupted run ends at the weights of an uninterrupted one.

Source: Balestriero and LeCun, LeJEPA, arXiv 2511.08544.
"""

import math
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jepa_core.config import ASSETS, cache_dir
from jepa_core.encoders import EncoderSpec, build_net
from jepa_core.errors import EncoderError, JepaError
from jepa_core.network import EncoderNet
from jepa_core.pretrain import card, data, evaluate
from jepa_core.pretrain.recipes import Recipe, get_recipe
from jepa_core.pretrain.sigreg import sigreg
from jepa_core.pretrain.views import random_views

Log = Callable[[str], None]


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
    log: Log = lambda _line: None,
    resume: bool = True,
    device: str = "cpu",
) -> Path:
    """Train an encoder and write `NAME.safetensors` and its model card `NAME.json` into a folder.

    Args:
        recipe: a name in `RECIPES`, or a recipe of one's own.
        out_dir: made if missing; `encoders` of the cache folder for None. An earlier pair of that name is replaced at
            the end, not before.
        log: called with one line of progress at a time.
        resume: go on from the checkpoint of an interrupted run, if the folder holds one.
        device: where to train. Weights differ in their last digits between kinds of machine.

    Returns:
        The path of the card.

    Raises:
        UnknownName: for a recipe there is not.
        EncoderError: for a checkpoint that is damaged or was written under another recipe.
        JepaError: for a folder that cannot be made or written; where that shows at once, before anything is trained.
    """
    recipe = get_recipe(recipe) if isinstance(recipe, str) else recipe
    out_dir = out_dir or cache_dir() / "encoders"
    with _writing_to(out_dir):
        out_dir.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out_dir).close()  # a folder may be there and yet take no file
    parts = {part: data.load_part(recipe, part) for part in ("train", "validation")}
    data_config = data.measure_data_config(recipe, parts["train"])
    spec = card.training_spec(recipe, data_config)
    checkpoint = out_dir / f"{recipe.name}.checkpoint"
    state = begin(recipe, build(recipe, spec), device)
    if resume and checkpoint.exists():
        _restore(state, checkpoint, recipe)
        log(f"resumed at step {state.step} from {checkpoint}")
    while state.step < recipe.steps:
        _train_until_checkpoint(state, recipe, parts, data_config, log)
        if state.step < recipe.steps:
            with _writing_to(out_dir):
                _save(state, checkpoint, recipe)
    with _writing_to(out_dir):
        path = card.write(state.net, recipe, data_config, out_dir, seconds=state.seconds, device=device)
        checkpoint.unlink(missing_ok=True)
    log(f"wrote {path}")
    if _is_overshadowed(path):
        bundled = shlex.quote(str(ASSETS / "encoders"))
        log(
            f"The bundled encoder {recipe.name!r} stays in use, since no other of its name replaces it; to replace it, "
            f"train with --out {bundled}, or copy the two files there."
        )
    return path


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
    """The untrained network of a recipe, the same for the same seed; the caller's random state is left alone."""
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


def train_step(
    state: Training, recipe: Recipe, pictures: Float[Tensor, "n channel height width"], data_config: dict[str, Any]
) -> Losses:
    """One batch, drawn without replacement; `pictures` are the whole train part in [0, 1], on the training's device."""
    chosen = torch.randperm(len(pictures), generator=state.generator, device=pictures.device)[: recipe.batch]
    batch = pictures[chosen]
    spans = [recipe.global_view] * recipe.global_views + [recipe.local_view] * recipe.local_views
    views = torch.cat([random_views(batch, span, state.generator) for span in spans])
    with torch.autocast(pictures.device.type, torch.bfloat16, enabled=recipe.bf16):
        embeddings = state.net(data.normalise(views, data_config))
    losses = lejepa_loss(embeddings.float().unflatten(0, (len(spans), len(batch))), recipe, state.generator)
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(recipe, state.step)
    state.optimiser.zero_grad(set_to_none=True)
    losses.total.backward()
    state.optimiser.step()
    state.step += 1
    return losses


def _train_until_checkpoint(
    state: Training, recipe: Recipe, parts: dict[str, data.Part], data_config: dict[str, Any], log: Log
) -> None:
    pictures = parts["train"].pictures.to(state.generator.device)
    start = time.perf_counter()
    before = state.seconds
    for _ in range(min(recipe.checkpoint_every, recipe.steps - state.step)):
        losses = train_step(state, recipe, pictures, data_config)
        state.seconds = before + time.perf_counter() - start
        if state.step % recipe.probe_every == 0 or state.step == recipe.steps:
            log(_progress_line(state, recipe, losses, parts, data_config))


def _progress_line(
    state: Training, recipe: Recipe, losses: Losses, parts: dict[str, data.Part], data_config: dict[str, Any]
) -> str:
    """The loss terms of the last step, and on the validation part: probe, effective rank, how Gaussian."""
    device = state.generator.device
    inputs = {name: data.normalise(part.pictures, data_config).to(device) for name, part in parts.items()}
    features = {name: (evaluate.embed(state.net.backbone, inputs[name]), parts[name].labels) for name in parts}
    projected = evaluate.embed(state.net, inputs["validation"])
    probe = evaluate.linear_probe(features)
    return (
        f"{recipe.name} step {state.step}/{recipe.steps} {state.seconds:.0f} s"
        f" loss {losses.total.item():.4f} invariance {losses.invariance.item():.4f} sigreg {losses.sigreg.item():.3f}"
        f" | validation probe {probe.accuracy['validation']:.3f}"
        f" effective rank {evaluate.effective_rank(projected):.1f} of {projected.shape[1]}"
        f" sigreg {evaluate.gaussianity(projected):.2f}"
    )


def _save(state: Training, path: Path, recipe: Recipe) -> None:
    """Write beside and rename, so that a kill in the middle leaves the checkpoint before."""
    content = {
        "recipe": repr(recipe),
        "net": state.net.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "generator": state.generator.get_state(),
        "step": state.step,
        "seconds": state.seconds,
    }
    partial = path.with_name(path.name + ".partial")
    torch.save(content, partial)
    partial.replace(path)


def _restore(state: Training, path: Path, recipe: Recipe) -> None:
    remedy = f"remove {path} or train without resuming"
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        written_under = content["recipe"]
    except Exception as error:  # torch.load has no error of its own: a damaged file shows as any of half a dozen
        raise EncoderError(f"The checkpoint {path} cannot be read ({type(error).__name__}); {remedy}.") from error
    if written_under != repr(recipe):
        raise EncoderError(
            f"The checkpoint {path} was written under another recipe than {recipe.name!r} as it is now; only the same "
            f"recipe goes on from it; {remedy}."
        )
    state.net.load_state_dict(content["net"])
    state.optimiser.load_state_dict(content["optimiser"])
    state.generator.set_state(content["generator"])
    state.step, state.seconds = content["step"], content["seconds"]

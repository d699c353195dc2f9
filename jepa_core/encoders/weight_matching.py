"""Which part of a file with weights a network takes, and whether the two are made for each other.

timm renames the tensors of each family's files, and on the way drops some and resamples others to another size. What
becomes of every tensor is followed here, so that nothing of a file is lost or changed without a word.
"""

import io
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from jepa_core.encoders import checkpoint_parts
from jepa_core.encoders.tensor_tracing import Following

# timm's renaming for an architecture: the tensors of a file by name, and the network, to the tensors by its own names.
Rename = Callable[[dict[str, Tensor], nn.Module], dict[str, Any]]

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class Misfit(Exception):
    """Weights that a network cannot take. `str` is the reason; `parts` are what was tried of the file."""

    def __init__(self, why: str, parts: "Iterable[Part]" = ()) -> None:
        super().__init__(why)
        self.parts = tuple(parts)


@dataclass(frozen=True)
class Terms:
    """On what terms a file is taken."""

    given: bool = True  # by hand: all of it has to fit; else it is what the publisher says of this architecture
    resized: bool = False  # whether position embeddings may be resampled to the network's input size
    part: str | None = None  # the part that was taken before; None to choose
    as_timm: bool = False  # choose the part that timm would


@dataclass(frozen=True, eq=False)
class Part:
    """The tensors of a file under one prefix, as a network takes them."""

    prefix: str  # the names on the way to them, with a dot behind; "" for all of the file
    names: dict[str, str]  # local name, without the prefix -> full name in the file
    local: dict[str, Tensor]
    renamed: dict[str, Tensor]  # by the network's names
    sources: dict[str, set[str]]  # the network's name -> the local names of what it was made of
    resampled: set[str]  # the network's names of what has another size than in the file
    scrambled: set[str]  # local names of what was cut into rows of another length
    used: set[str]  # full names of what the network takes
    taken: str  # the names on the way to all of that: of the prefix, and of what timm strips beside
    missing: list[str]  # the network's names of what it takes and does not find
    misshaped: list[str]

    @property
    def whole(self) -> bool:
        """Whether the network finds each of its weights here."""
        return not (self.missing or self.misshaped)


def parts(tensors: dict[str, Tensor], network: nn.Module, rename: Rename | None) -> list[Part]:
    """Each part of a file that may be this network's, as it takes it."""
    needed = sum(1 for _ in _needed(network))
    under = Counter(full[: dot.end()] for full in tensors for dot in re.finditer(r"\.", full))
    prefixes = ["", *(prefix for prefix, count in under.items() if 2 * count >= needed)]
    return [part_under(tensors, prefix, network, rename) for prefix in prefixes]


def _needed(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):  # counted while training, and of no use after it
            yield name, tensor


def part_under(tensors: dict[str, Tensor], prefix: str, network: nn.Module, rename: Rename | None) -> Part:
    """The tensors under one prefix as a network takes them, by their own names where timm cannot rename them."""
    full_names = [name for name in tensors if name.startswith(prefix)]
    children = [name for name, _module in network.named_children()]
    blocks = any(re.match(r"blocks\.\d+\.\D", name) for name, _tensor in _needed(network))
    local_names = checkpoint_parts.local([name.removeprefix(prefix) for name in full_names], children, blocks)
    names = dict(zip(local_names, full_names, strict=True))
    local = {name: tensors[full] for name, full in names.items()}
    following = Following(local)
    try:
        with following, redirect_stdout(io.StringIO()):  # one of timm's prints what it leaves out
            renamed = _renamed(dict(local), network, rename)
    except Exception:  # made for the files of its family, timm's code meets any other with any error
        renamed = local
    state = {name: tensor for name, tensor in renamed.items() if isinstance(tensor, Tensor)}
    sources = {name: following.of(tensor) or ({name} & local.keys()) for name, tensor in state.items()}
    resampled = {
        name
        for name, tensor in state.items()
        if id(tensor) in following.resampled or any(_other_grid(local[source], tensor) for source in sources[name])
    }
    needed = dict(_needed(network))
    used = {names[source] for name in network.state_dict() for source in sources.get(name, ())}
    return Part(
        prefix=prefix,
        names=names,
        local=local,
        renamed=state,
        sources=sources,
        resampled=resampled,
        scrambled=following.scrambled,
        used=used,
        taken=_way(used).removesuffix(_way(needed.keys())).rstrip(".") or prefix.rstrip("."),
        missing=[name for name in needed if name not in state],
        misshaped=[name for name, tensor in needed.items() if name in state and state[name].shape != tensor.shape],
    )


def _way(names: Collection[str]) -> str:
    """The names that all of some have before a dot, with a dot behind."""
    first, last = (min(names).split("."), max(names).split(".")) if names else ([], [])
    shared = 0
    while shared < min(len(first), len(last)) - 1 and first[shared] == last[shared]:
        shared += 1
    return "".join(f"{name}." for name in first[:shared])


def _other_grid(before: Tensor, after: Tensor) -> bool:
    """Whether a kernel or a table has other sides than before."""
    return before.ndim == after.ndim > 3 and before.shape[2:] != after.shape[2:]


def _renamed(local: dict[str, Tensor], network: nn.Module, rename: Rename | None) -> dict[str, Any]:
    if rename is None:
        return local
    try:
        return rename(local, network)
    except TypeError:  # some of timm's take no network
        return rename(local)  # type: ignore[call-arg]


def kernels(network: nn.Module) -> set[str]:
    """The names of the weights of all linear layers and convolutions."""
    layers = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return {f"{name}.weight" for name, module in network.named_modules() if isinstance(module, layers)}


def take(tensors: dict[str, Tensor], network: nn.Module, rename: Rename | None, terms: Terms) -> Part:
    """The part of a file that `network` takes, loaded into it. `Misfit` where it does not fit; nothing is loaded then.

    Of several parts that fit, the average that the training kept is taken (`part_names.rank`).
    """
    if terms.given:
        adapter = next((name for name in tensors if checkpoint_parts.is_adapter(name)), None)
        if adapter and not any(
            checkpoint_parts.is_adapter(name) for name in network.state_dict()
        ):  # a name is but a name
            raise Misfit(
                f'it has adapters beside or without its weights, the first is "{adapter}": merge them into the '
                "weights before, as merge_and_unload() of peft does, and save those"
            )
    tried = parts(tensors, network, rename)
    whole = [part for part in tried if part.whole]
    chosen = [part for part in whole if terms.part in (None, part.prefix)]
    if not chosen:
        raise Misfit(_why_not(tried, network, terms), tried)
    part = _preferred(chosen, terms)
    if terms.given:
        why = lossy(part, network) or resized(part, network, terms) or surplus(part, tensors, network, whole)
        if why:
            raise Misfit(why, tried)
    state = {name: part.renamed[name] for name, its in network.state_dict().items() if _given(part, name, its)}
    why = _values(state, network, terms)
    if why:
        raise Misfit(why)
    network.load_state_dict(state, strict=False)  # what may be missing was decided above
    return part


def _given(part: Part, name: str, its: Tensor) -> bool:
    return name in part.renamed and part.renamed[name].shape == its.shape


def _preferred(whole: list[Part], terms: Terms) -> Part:
    def order(part: Part) -> tuple[int, int]:
        return checkpoint_parts.rank(part.prefix, as_timm=terms.as_timm), part.prefix.count(".")

    first, *others = sorted(whole, key=order)
    for other in others:
        equal_rank = order(other)[0] == order(first)[0] and not _nested(first.prefix, other.prefix)
        if terms.given and equal_rank and not _equal(first, other):
            both = f'"{first.prefix[:-1]}" and "{other.prefix[:-1]}"'
            raise Misfit(f"it has two parts that fit, {both}: keep one, and save it alone")
    return first


def _nested(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _equal(one: Part, other: Part) -> bool:
    return all(
        torch.equal(tensor, other.renamed[name]) for name, tensor in one.renamed.items() if name in other.renamed
    )


def _why_not(tried: list[Part], network: nn.Module, terms: Terms) -> str:
    """What is wrong with the part that comes nearest."""
    part = min(tried, key=lambda part: len(part.missing) + len(part.misshaped))
    if part.whole:
        return f'"{(terms.part or "").rstrip(".")}" of it is no longer what fits'
    why = terms.given and lossy(part, network)
    if why:
        return why
    if part.misshaped:
        name = part.misshaped[0]
        return _mismatch(name, tuple(part.renamed[name].shape), tuple(network.state_dict()[name].shape))
    if not terms.given:
        return f"Missing keys ({', '.join(part.missing)})"
    return f'Missing key(s) in state_dict: "{part.missing[0]}"'


def _mismatch(name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    return f"size mismatch for {name}: {found} in the file, {wanted} in the architecture"


def _patches(part: Part, network: nn.Module) -> str:
    """Kernels for patches of another size, which timm resamples, and tensors that it cuts into other rows."""
    layers = kernels(network)
    for name, tensor in network.state_dict().items():
        source = min(part.sources.get(name, ()), default="")
        if source in part.scrambled or (name in part.resampled and name in layers):
            return _mismatch(part.names[source], tuple(part.local[source].shape), tuple(tensor.shape))
    return ""


def lossy(part: Part, network: nn.Module) -> str:
    """Why a network's numbers would be others than the file's, whatever its input size; "" if they would not."""
    return _types(part, network) or _patches(part, network)


def _types(part: Part, network: nn.Module) -> str:
    """Numbers of another kind than the network's: whole ones, quantised, complex, sparse."""
    for name, tensor in network.state_dict().items():
        for source in sorted(part.sources.get(name, ())):
            found = part.local[source]
            if name.endswith("num_batches_tracked"):
                continue
            if found.is_meta:
                return f'"{part.names[source]}" has a shape and no numbers'
            good = found.dtype in _FLOATS if tensor.dtype.is_floating_point else found.dtype == tensor.dtype
            if not good or found.layout != torch.strided or found.is_quantized:
                kind = f"{found.dtype}".removeprefix("torch.")
                kind = kind if found.layout == torch.strided else f"{kind}, {found.layout}".replace("torch.", "")
                return (
                    f'"{part.names[source]}" is of type {kind}, and float16, bfloat16, float32 or float64 is accepted'
                )
    return ""


def resized(part: Part, network: nn.Module, terms: Terms) -> str:
    """Position embeddings for another input size than was asked for or than the architecture is published at."""
    if terms.resized:
        return ""
    published = (getattr(network, "pretrained_cfg", None) or {}).get("input_size", (0, 0, 0))[-1]
    for name in network.state_dict():
        if name in part.resampled:
            side = input_side(part, name, network)
            if side and side == published:
                continue
            source = min(part.sources[name])
            of = f", {side} px," if side else ""
            return (
                f'"{part.names[source]}" is for another input size{of} than the architecture\'s and would be '
                "resampled: write @PX behind the architecture to have it at PX px"
            )
    return ""


def input_side(part: Part, name: str, network: nn.Module) -> int:
    """The side in px of the input that position embeddings are for; 0 where they do not say."""
    embedding = getattr(network, "patch_embed", None)
    patch = getattr(embedding, "patch_size", None)
    source = part.local[min(part.sources[name])]
    if patch is None or source.ndim not in (2, 3):
        return 0
    rows, own = source.shape[-2], int(getattr(network, "num_prefix_tokens", 0))
    for others in dict.fromkeys((own, 0, 1, 2)):
        side = math.isqrt(max(rows - others, 0))
        if side and side * side == rows - others:
            return side * patch[-1]
    return 0


def surplus(part: Part, tensors: dict[str, Tensor], network: nn.Module, whole: Sequence[Part] = ()) -> str:
    """The first tensor of the file that would be lost with the rest, if it is more than training leaves behind."""
    others = [other for other in whole if other is not part]
    copies = set().union(*(other.used for other in others))
    beside = tuple(other.prefix for other in others if not _nested(part.prefix, other.prefix))
    classifiers = (getattr(network, "pretrained_cfg", None) or {}).get("classifier") or ()
    heads = tuple(f"{part.prefix}{name}." for name in ([classifiers] if isinstance(classifiers, str) else classifiers))
    inside = set(part.names.values())
    for full in left_out(part, tensors):
        if full in copies or full.startswith((*beside, *heads)) or checkpoint_parts.is_beside(full, part.taken):
            continue
        if full in inside and not checkpoint_parts.is_of_training(full.removeprefix(part.prefix)):
            return f'"{full}" would be left out{checkpoint_parts.hint(full)}'
        if full not in inside and tensors[full].numel() > 1:  # else a count, a temperature
            return f'"{full}" would be left out, and lies beside "{part.taken}"'
    return ""


def left_out(part: Part, tensors: dict[str, Tensor]) -> list[str]:
    """The full names of what the network does not take, but for tables that it computes itself and zeros to add."""
    kept = {part.names[source] for sources in part.sources.values() for source in sources}
    local = {full: name for name, full in part.names.items()}
    return [
        full
        for full, tensor in tensors.items()
        if full not in part.used
        and not (full in local and full not in kept and checkpoint_parts.is_computed(local[full]))
        and not (full in local and full.endswith("bias") and not tensor.any())
    ]


def _values(state: dict[str, Tensor], network: nn.Module, terms: Terms) -> str:
    """Numbers that no training leaves: not finite, a whole layer of one number, a variance below 0."""
    targets, layers = network.state_dict(), kernels(network)
    for name, tensor in state.items():
        if not targets[name].dtype.is_floating_point:
            continue
        values = tensor.to(targets[name].dtype)
        if not torch.isfinite(values).all():
            return f'"{name}" holds numbers that are not finite'
        if not terms.given or values.numel() < 2:
            continue
        if name in layers and values.min() == values.max():
            number = float(values.flatten()[0]) + 0.0  # which makes 0 of -0
            return f'all numbers of "{name}" are {number:g}, as in a file that was cut or never filled'
        if name.endswith("running_var") and (values.min() < 0 or not values.any()):
            return f'"{name}" holds variances that are none'
    return ""


def said(part: Part, tensors: dict[str, Tensor]) -> str:
    """What was taken of a file and what was not, in a sentence; "" where it was all of it."""
    rest = ", ".join(checkpoint_parts.groups(left_out(part, tensors), part.taken))
    if not part.taken:
        return f"Left out of it: {rest}." if rest else ""
    average = ", the average that its training kept" if checkpoint_parts.is_average(part.taken) else ""
    return f"Taken of it: {part.taken}{average}{'; left out: ' if rest else ''}{rest}."

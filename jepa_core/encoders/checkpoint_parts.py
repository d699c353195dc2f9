"""The names that training code gives to the parts of a checkpoint, and what each part is."""

import re
from collections.abc import Iterable, Sequence

# A classifier or what else is trained on top of an encoder and thrown away after it, by the first of its names.
_ON_TOP = re.compile(
    r"(?!conv_|norm_|input_|patch_)(.*_)?(heads?|projectors?|projection|proj|predictors?|prediction|pred|classifiers?|linear|probes?"
    r"|decoder|mask|masked|prototypes?|logits?|last)(_.*|\d*)|fc\d*|local_cls_norm"
)
# What else lies beside an encoder in the files of its training, by one word of its name.
_BESIDE = re.compile(
    r"student|teacher|target|momentum|ema|averaged|shadow|gram|online|context|optimizer|optimizers|"
    r"optimiser|optim|opt|scheduler|schedulers|lr|wd|scaler|amp|loss|losses|criterion|center|"
    r"centre|centers|queue|queues|neck|text|textual|tokenizer|temperature|temp|tau|metric|"
    r"metrics|acc|accuracy|confmat|callbacks|loops|hyper|hparams|parameters|args|config|cfg|rng|"
    r"random|step|steps|iteration|iter|epoch|sigreg|regularizer|augment|augmentation|transform|"
    r"transforms|mean|std|normalize|normalization|knn|memory|bank|eval|val|train|best|preprocessor"
)
_OF_PICTURES = re.compile("visual|vision|image|img")
# Tables that an architecture computes, and timm's renaming drops.
_COMPUTED = re.compile(
    r"(.*\.)?(num_batches_tracked|relative_position_index|relative_coords_table|attn_mask|bias_mask|periods"
    r"|inv_freq|position_ids|freqs_\w+|rope\.\w+|attention_bias_idxs)"
)
_ADAPTER = re.compile(
    r"(^|[._])(lora|dora|loha|lokr|ia3|oft|boft|hada|vera|adapters?|base_layer|modules_to_save)([._]|\d|$)"
)
_EMA = re.compile("ema|averaged|shadow")
_TEACHER = re.compile("teacher|target")
_FOLLOWING = re.compile("momentum|gram|k")
_LAYER_SCALE = re.compile(r"(.*\.)?(ls\d?(\.gamma)?|gamma(_\d)?|layer_scale\w*(\.gamma|\.scale)?)")


def _has(name: str, words: re.Pattern[str]) -> bool:
    """Whether one of the words of a name is one of some."""
    return any(words.fullmatch(word) for word in re.split(r"[._]", name.lower()))


def rank(prefix: str, *, as_timm: bool = False) -> int:
    """Which of several parts that fit is taken: that with the lowest rank.

    The average that a training kept comes first (EMA, then a teacher or target encoder), since it is what its authors
    evaluate; a copy that only follows the encoder (a momentum encoder, a BYOL target) last. timm knows but EMA.
    """
    if as_timm:
        return 0 if _has(prefix, _EMA) else 2 if _has(prefix, _TEACHER) else 1
    if _has(prefix, _FOLLOWING) or re.search(r"target_net(work)?(\W|$)", prefix.lower()):
        return 3
    return 0 if _has(prefix, _EMA) else 1 if _has(prefix, _TEACHER) else 2


def is_average(prefix: str) -> bool:
    """Whether a part is the average that a training kept of its encoder."""
    return rank(prefix) < 2


def local(names: Sequence[str], children: Sequence[str], blocks: bool) -> list[str]:
    """Names within a part as the architecture has them, where a wrapper has numbered what they name.

    Blocks in chunks, as DINOv2 trains them ("blocks.1.6.norm1.weight"), and a network that was made a list of its
    layers, as is usual for a ResNet ("4.0.conv1.weight"). `children` are the architecture's layers, and `blocks` is
    whether its blocks have one number each.
    """
    firsts = {name.partition(".")[0] for name in names}
    if firsts and all(first.isdecimal() and int(first) < len(children) for first in firsts):
        split = [name.partition(".") for name in names]
        return [f"{children[int(first)]}.{rest}" for first, _dot, rest in split]
    if not blocks:
        return list(names)
    chunks = {name: re.match(r"blocks\.(\d+)\.(\d+)\.", name) for name in names}
    places = sorted({(int(found[1]), int(found[2])) for found in chunks.values() if found})
    number = {place: position for position, place in enumerate(places)}
    return [
        f"blocks.{number[int(found[1]), int(found[2])]}.{name[found.end() :]}" if found else name
        for name, found in chunks.items()
    ]


def is_adapter(name: str) -> bool:
    """Whether a tensor belongs to an adapter (LoRA and its kin), which has to be merged into the weights."""
    return _ADAPTER.search(name.lower()) is not None


def is_of_training(name: str) -> bool:
    """Whether a tensor within a network's part is a classifier's, or served the training alone."""
    return _ON_TOP.fullmatch(name.partition(".")[0].lower()) is not None or name.endswith("num_batches_tracked")


def is_computed(name: str) -> bool:
    """Whether a tensor is a table that the architecture makes itself."""
    return _COMPUTED.fullmatch(name) is not None


def is_beside(name: str, taken: str) -> bool:
    """Whether a tensor that lies outside of `taken` is no part of the encoder: a head, another copy, an optimizer."""
    if not taken or name.startswith(f"{taken}."):
        return False
    if _has(taken, _OF_PICTURES):
        return True  # the other half is for texts
    part = _apart(name, taken)[-1].lower()
    return _ON_TOP.fullmatch(part) is not None or _has(part, _BESIDE)


def _apart(name: str, taken: str) -> list[str]:
    """The way to a tensor as far as it shares it with `taken`, and the first name that is another."""
    theirs, ours = name.split("."), taken.split(".")
    shared = 0
    while shared < min(len(theirs) - 1, len(ours)) and theirs[shared] == ours[shared]:
        shared += 1
    return theirs[: shared + 1]


def groups(names: Iterable[str], taken: str) -> list[str]:
    """The parts that some names belong to, each once, as many as fit into a line."""
    found = sorted({".".join(_apart(name, taken)) for name in names})
    return [*found[:5], f"{len(found) - 5} more"] if len(found) > 6 else found


def hint(name: str) -> str:
    """What a tensor is that an architecture lacks, where that helps."""
    if _LAYER_SCALE.fullmatch(name):
        return ": it is LayerScale (timm's init_values), which this architecture lacks"
    return ""

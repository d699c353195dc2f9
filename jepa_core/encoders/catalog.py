"""The encoders of the papers, by the names that people know, as `EncoderSpec`s whose weights timm can load.

All of it is data, so that listing them imports neither torch nor timm; `tests/encoders/test_catalog.py` holds it
against timm. An encoder is one row: its timm name with the tag of its weights, K, how many weights, and the input size.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from jepa_core.encoders.spec import PROJECTION, EncoderSpec
from jepa_core.errors import EncoderError

TIMM_PREFIX = "timm:"
SIZE_MARK = "@"
_LARGEST = 1024  # px

# family: (paper, licence of the weights, what it is in a sentence). The licences are those that timm records.
_FAMILIES = {
    "I-JEPA": (
        "Assran et al., Self-Supervised Learning from Images with a Joint-Embedding Predictive Architecture, 2023, "
        "arXiv 2301.08243",
        "CC BY-NC 4.0",
        "Trained to predict the embeddings of hidden parts of an image.",
    ),
    "DINOv2": (
        "Oquab et al., DINOv2: Learning Robust Visual Features without Supervision, 2023, arXiv 2304.07193",
        "Apache 2.0",
        "Trained by self-distillation on 142 million curated images.",
    ),
    "DINOv3": (
        "Simeoni et al., DINOv3, 2025, arXiv 2508.10104",
        "DINOv3 License",
        "Trained by self-distillation on 1.7 billion images.",
    ),
    "MetaCLIP": (
        "Xu et al., Demystifying CLIP Data, 2023, arXiv 2309.16671",
        "CC BY-NC 4.0",
        "Trained to match images with their captions.",
    ),
    "DINO": (
        "Caron et al., Emerging Properties in Self-Supervised Vision Transformers, 2021, arXiv 2104.14294",
        "Apache 2.0",
        "Trained by self-distillation on ImageNet-1k.",
    ),
    "MAE": (
        "He et al., Masked Autoencoders Are Scalable Vision Learners, 2021, arXiv 2111.06377",
        "CC BY-NC 4.0",
        "Trained to paint hidden parts of an image.",
    ),
    "supervised": (
        "Steiner et al., How to train your ViT?, 2021, arXiv 2106.10270",
        "Apache 2.0",
        "Trained with the labels of ImageNet-1k.",
    ),
}

# The paper's claim is about encoders whose training spreads the embeddings out; these were trained otherwise and are
# here to compare with.
CONTRASTS = ("DINO", "MAE", "supervised")

# name, family, timm name, K of the backbone, K of the projection (0: none), millions of weights without a classifier,
# input size in px. DINOv2 was finished at 518 px; 224 is what its authors evaluate at, and costs a sixth.
_ROWS = (
    ("ijepa-h14-1k", "I-JEPA", "vit_huge_patch14_gap_224.in1k_ijepa", 1280, 0, 630.8, 224),
    ("ijepa-h14-22k", "I-JEPA", "vit_huge_patch14_gap_224.in22k_ijepa", 1280, 0, 630.8, 224),
    ("ijepa-h16-1k-448", "I-JEPA", "vit_huge_patch16_gap_448.in1k_ijepa", 1280, 0, 631.7, 448),
    ("ijepa-g16-22k", "I-JEPA", "vit_giant_patch16_gap_224.in22k_ijepa", 1408, 0, 1011.4, 224),
    ("dinov2-s14", "DINOv2", "vit_small_patch14_dinov2.lvd142m", 384, 0, 22.1, 224),
    ("dinov2-b14", "DINOv2", "vit_base_patch14_dinov2.lvd142m", 768, 0, 86.6, 224),
    ("dinov2-l14", "DINOv2", "vit_large_patch14_dinov2.lvd142m", 1024, 0, 304.4, 224),
    ("dinov2-g14", "DINOv2", "vit_giant_patch14_dinov2.lvd142m", 1536, 0, 1136.5, 224),
    ("dinov2-s14-reg", "DINOv2", "vit_small_patch14_reg4_dinov2.lvd142m", 384, 0, 22.1, 224),
    ("dinov2-b14-reg", "DINOv2", "vit_base_patch14_reg4_dinov2.lvd142m", 768, 0, 86.6, 224),
    ("dinov2-l14-reg", "DINOv2", "vit_large_patch14_reg4_dinov2.lvd142m", 1024, 0, 304.4, 224),
    ("dinov2-g14-reg", "DINOv2", "vit_giant_patch14_reg4_dinov2.lvd142m", 1536, 0, 1136.5, 224),
    ("dinov3-s16", "DINOv3", "vit_small_patch16_dinov3.lvd1689m", 384, 0, 21.6, 256),
    ("dinov3-s16-plus", "DINOv3", "vit_small_plus_patch16_dinov3.lvd1689m", 384, 0, 28.7, 256),
    ("dinov3-b16", "DINOv3", "vit_base_patch16_dinov3.lvd1689m", 768, 0, 85.6, 256),
    ("dinov3-l16", "DINOv3", "vit_large_patch16_dinov3.lvd1689m", 1024, 0, 303.1, 256),
    ("dinov3-h16-plus", "DINOv3", "vit_huge_plus_patch16_dinov3.lvd1689m", 1280, 0, 840.5, 256),
    ("metaclip-b32-400m", "MetaCLIP", "vit_base_patch32_clip_quickgelu_224.metaclip_400m", 768, 512, 87.8, 224),
    ("metaclip-b32-2.5b", "MetaCLIP", "vit_base_patch32_clip_quickgelu_224.metaclip_2pt5b", 768, 512, 87.8, 224),
    ("metaclip-b16-400m", "MetaCLIP", "vit_base_patch16_clip_quickgelu_224.metaclip_400m", 768, 512, 86.2, 224),
    ("metaclip-b16-2.5b", "MetaCLIP", "vit_base_patch16_clip_quickgelu_224.metaclip_2pt5b", 768, 512, 86.2, 224),
    ("metaclip-l14-400m", "MetaCLIP", "vit_large_patch14_clip_quickgelu_224.metaclip_400m", 1024, 768, 304.0, 224),
    ("metaclip-l14-2.5b", "MetaCLIP", "vit_large_patch14_clip_quickgelu_224.metaclip_2pt5b", 1024, 768, 304.0, 224),
    ("metaclip-h14-2.5b", "MetaCLIP", "vit_huge_patch14_clip_quickgelu_224.metaclip_2pt5b", 1280, 1024, 632.1, 224),
    ("dino-s16", "DINO", "vit_small_patch16_224.dino", 384, 0, 21.7, 224),
    ("dino-b16", "DINO", "vit_base_patch16_224.dino", 768, 0, 85.8, 224),
    ("mae-b16", "MAE", "vit_base_patch16_224.mae", 768, 0, 85.8, 224),
    ("mae-l16", "MAE", "vit_large_patch16_224.mae", 1024, 0, 303.3, 224),
    ("supervised-s16", "supervised", "vit_small_patch16_224.augreg_in1k", 384, 0, 22.1, 224),
    ("supervised-b16", "supervised", "vit_base_patch16_224.augreg_in1k", 768, 0, 86.6, 224),
    ("supervised-resnet50", "supervised", "resnet50.a1_in1k", 2048, 0, 23.5, 224),
)


_LETTERS = {"small": "S", "base": "B", "large": "L", "huge": "H", "giant": "g", "small_plus": "S+", "huge_plus": "H+"}
_VIT = re.compile(r"vit_(small_plus|huge_plus|small|base|large|huge|giant)_patch(\d+)")
_PARTICULARS = {
    "_reg4": "with registers",
    "_448": "448 px",
    ".in1k": "ImageNet-1k",
    ".in22k": "ImageNet-22k",
    "_400m": "400M",
    "_2pt5b": "2.5B",
}


def _called(architecture: str) -> str:
    """What people call a network of timm.

    >>> _called("vit_small_patch14_reg4_dinov2.lvd142m"), _called("vit_huge_patch16_gap_448.in1k_ijepa")
    ('ViT-S/14, with registers', 'ViT-H/16, 448 px, ImageNet-1k')
    >>> _called("resnet50.a1_in1k")
    'resnet50'
    """
    vit = _VIT.match(architecture)
    if not vit:
        return architecture.partition(".")[0]
    particulars = [words for mark, words in _PARTICULARS.items() if mark in architecture]
    return ", ".join([f"ViT-{_LETTERS[vit[1]]}/{vit[2]}", *particulars])


def specs() -> Iterator[EncoderSpec]:
    """Every encoder of the catalogue at its own input size."""
    for name, family, architecture, k, projection, millions, size in _ROWS:
        outputs = {PROJECTION: projection, "backbone": k} if projection else {"backbone": k}
        paper, licence, description = _FAMILIES[family]
        spec = EncoderSpec(
            name=name,
            family=family,
            source="timm",
            architecture=architecture,
            outputs=outputs,
            licence=licence,
            paper=paper,
            description=description,
            parameters=round(millions * 1e6),
            contrast=family in CONTRASTS,
            called=f"{family} {_called(architecture)}",
        )
        yield _at(spec, size)


def find(name: str, *, published: bool = True) -> EncoderSpec | None:
    """The spec of a name of the catalogue or "timm:MODEL.TAG", each with "@PX" for another input size; None for others.

    A hand-written timm name imports timm to learn what it makes. Raises `EncoderError` for a size that the architecture
    cannot take, and for a timm name without weights or, if they need not be `published`, one that timm cannot make.
    """
    base, mark, wanted = name.partition(SIZE_MARK)
    by_hand = base.startswith(TIMM_PREFIX)
    spec = _by_hand(base, published) if by_hand else next((spec for spec in specs() if spec.name == base), None)
    if spec is None or not mark:
        return spec
    return _resized(spec, name, wanted)


def _at(spec: EncoderSpec, size: int) -> EncoderSpec:
    kwargs = {"img_size": size} if _patch(spec.architecture) else {}
    return replace(spec, architecture_kwargs=kwargs, data_config={"input_size": [3, size, size]})


def _patch(architecture: str) -> int:
    """Side of a patch in px by the architecture's name; 0 for one without."""
    found = re.search(r"_patch(\d+)", architecture)
    return int(found[1]) if found else 0


def _resized(spec: EncoderSpec, name: str, wanted: str) -> EncoderSpec:
    step = _patch(spec.architecture) or 32
    size = int(wanted) if wanted.isascii() and wanted.isdigit() else 0
    if size < step or size % step or size > _LARGEST:
        raise EncoderError(
            f"The encoder {spec.name!r} was asked for at {wanted!r} px; multiples of {step} up to {_LARGEST} are "
            f"accepted; write {spec.name}{SIZE_MARK}{16 * step}, say."
        )
    resized = replace(_at(spec, size), name=name, called=f"{spec.called}, {size} px" if spec.called else "")
    if spec.name.startswith(TIMM_PREFIX) and not _patch(spec.architecture):
        return replace(resized, architecture_kwargs=_told(spec, size))
    return resized


def _told(spec: EncoderSpec, size: int) -> dict[str, Any]:
    """How timm is told the size where the name names no patch: many architectures take any, and know no word for it."""
    import timm
    import torch

    try:
        with torch.device("meta"):
            timm.create_model(spec.architecture, pretrained=False, img_size=size)
    except TypeError:  # it knows no such argument
        return {}
    return {"img_size": size}


def _by_hand(name: str, published: bool) -> EncoderSpec:
    import timm
    import timm.data
    import torch

    from jepa_core.encoders import download

    architecture = name.removeprefix(TIMM_PREFIX)
    if published:
        download.remote_of(architecture)  # says what is wrong with the name
    try:
        with torch.device("meta"):
            model = timm.create_model(architecture, pretrained=False, num_classes=0)
    except (RuntimeError, ValueError) as error:  # of an unknown model, an unknown tag, a path
        raise EncoderError(
            f"timm makes no model {architecture!r}; the name of one is accepted, as in vit_small_patch14_dinov2; "
            "timm.list_models() lists them."
        ) from error
    config: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    return EncoderSpec(
        name=name,
        family=config.get("tag") or "timm",
        source="timm",
        architecture=architecture,
        outputs={"backbone": int(model.num_features)},  # type: ignore[arg-type]
        data_config={"input_size": list(timm.data.resolve_data_config({}, model=model)["input_size"])},
        licence=config.get("license") or "not recorded by timm",
        paper=config.get("paper_name") or "",
        description="An encoder of timm, named by hand.",
        parameters=sum(weight.numel() for weight in model.parameters()),
    )

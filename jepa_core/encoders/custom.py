"""Encoders whose weights are given by hand: a file, or a folder in the layout of the hub's cache.

Such an encoder has the architecture of one of the catalogue, or of any model of timm, and a name of its own. It is kept
like the others that were loaded here (`jepa_core.encoders.timm_weights`), with the path of its file and the digest of
its weights: its results have that digest in their keys, and a file that has changed is not used in its place.
"""

import os
import re
from dataclasses import replace
from pathlib import Path

from jepa_core import files
from jepa_core.config import hosted
from jepa_core.encoders import catalog, timm_weights
from jepa_core.encoders.encoder import Encoder, choose_device
from jepa_core.encoders.registry import list_encoders
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import EncoderError, UnknownName

_NAME = re.compile(r"\w[\w.-]{0,63}")


def add(name: str, like: str, weights: str, device: str | None = None) -> Encoder:
    """Load weights into an architecture, and have the encoder at hand under a name from then on.

    `like` is a name of the catalogue or "timm:MODEL", each with "@PX" for another input size; `weights` the path of a
    safetensors file, of a checkpoint (a pickle of tensors and settings), or of a folder like the hub's cache. Which
    part of a file was taken is in the spec's description. An encoder that was added under this name before is replaced.

    Raises `UnknownName` for another architecture, and `EncoderError` for a name that is taken or cannot be one, for
    weights that are not there, damaged, not of this architecture in every tensor, or a pickle of more, and where
    `$JEPA_DATA_ROOTS` is set.
    """
    if hosted():
        raise EncoderError(
            "Weights were given by hand, but this server loads none of its visitors' (JEPA_DATA_ROOTS is set); the "
            "encoders that it lists are accepted; choose one."
        )
    _check_name(name)
    spec = _architecture(like)
    path = find(weights, spec)
    spec = replace(
        spec,
        name=name,
        family="weights given by hand",
        source="file",
        weights=path,
        like=like,
        licence="that of its owner",
        paper="",
        contrast=False,
    )
    net, part, taken = timm_weights.load_given(spec, path)
    description = f"The architecture of {like} with the weights {path.name}, given by hand. {taken}".rstrip()
    encoder = Encoder(replace(spec, part=part, description=description), net, choose_device(device))
    encoder.spec = timm_weights.remember(encoder)
    return encoder


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise EncoderError(
            f"The name {name!r} cannot be that of an encoder; up to 64 letters, digits, dots, dashes and underscores "
            "are accepted; choose one such as mine."
        )
    there = list_encoders().get(name)
    if (there and there.source != "file") or name in {spec.name for spec in catalog.specs()}:
        raise EncoderError(
            f"The name {name!r} is that of another encoder; one that is not taken is accepted; choose another."
        )


def _architecture(like: str) -> EncoderSpec:
    found = catalog.find(like, published=False)
    if found is None:
        names = [spec.name for spec in catalog.specs()]
        raise UnknownName("architecture", like, names, "Or give timm:MODEL for another of timm.")
    return found


def find(given: str, spec: EncoderSpec) -> Path:
    """The file with the weights of `spec` at a path that was given; `EncoderError` where there is none."""
    # Not resolved: a link of the hub's cache has the suffix by which the format is known, what it leads to has not.
    path = Path(os.path.abspath(files.expanded(given)))  # noqa: PTH100
    if files.is_file(path):
        return path
    if not given or not files.is_dir(path):
        raise EncoderError(
            f"There is no file or folder {given!r}; a safetensors file, or a folder in the layout of the hub's cache, "
            "is accepted; check the spelling."
        )
    return _in_cache(path, spec)


def _in_cache(folder: Path, spec: EncoderSpec) -> Path:
    """The file in a folder like the hub's cache, or like that of one repository in it."""
    from huggingface_hub import scan_cache_dir

    from jepa_core.encoders import download

    alone = folder.name.startswith("models--")
    found = scan_cache_dir(folder.parent if alone else folder).repos
    models = {
        repo.repo_id: repo for repo in found if repo.repo_type == "model" and (not alone or repo.repo_path == folder)
    }
    if len(models) > 1:
        own = download.remote_of(spec.architecture).repository
        if own not in models:
            raise EncoderError(
                f"The folder {folder} holds the weights of {', '.join(sorted(models))}; one of one encoder is "
                "accepted; give the folder models--OWNER--NAME in it."
            )
        models = {own: models[own]}
    # The revision that is called "main", else the newest.
    revisions = [revision for repo in models.values() for revision in repo.revisions]
    for revision in sorted(revisions, key=lambda one: ("main" in one.refs, one.last_modified), reverse=True):
        files = {file.file_name: file.file_path for file in revision.files}
        for name in download.file_names(spec.architecture):
            if name in files:
                return files[name]
    raise EncoderError(
        f"The folder {folder} has no snapshot with weights; a whole folder in the layout of the hub's cache, or the "
        "file with the weights itself, is accepted; copy it again, with what its links lead to."
    )

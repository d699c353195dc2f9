"""What is in a file with weights: its tensors by their full names, whatever wrote it. Nothing in it is ever run.

Training code writes dictionaries in dictionaries. Here they are one: the names on the way to a tensor, joined by dots,
as in "teacher.backbone.blocks.0.norm1.weight". What in it is a network is found by
`jepa_core.encoders.weight_matching`.
"""

import re
import struct
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from jepa_core.errors import EncoderError

# Classes of which checkpoints hold objects beside the weights: arguments, settings, paths, single numbers. None of them
# is imported or made: an empty object stands for each. Whatever else is not weights is refused.
_SETTINGS = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.WindowsPath",
    "pathlib.PureWindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "datetime.datetime",
    "datetime.timedelta",
    "typing.Any",
    "builtins.dict",
    "builtins.list",
    "builtins.int",
    "builtins.float",
    "builtins.str",
    "builtins.bool",
    "builtins.slice",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    *(f"numpy.{kind}" for kind in ("float64", "float32", "int64", "int32", "bool_")),
    *(f"numpy.dtypes.{kind}DType" for kind in ("Float64", "Float32", "Int64", "Int32", "UInt32", "Bool")),
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    *(f"omegaconf.nodes.{kind}Node" for kind in ("Any", "String", "Integer", "Float", "Boolean", "Enum", "Path")),
)

_DICTIONARIES = (
    "collections.defaultdict",
    "easydict.EasyDict",
    "addict.addict.Dict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
)
_READING = Lock()  # torch knows one list of classes, for all threads


class _Setting:
    """Stands for an object that is of no account here."""

    def __new__(cls, *_args: object, **_kwargs: object) -> Any:
        return super().__new__(cls)

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass


class _Dictionary(_Setting):
    """Stands for a dictionary of another class: a plain one is made."""

    def __new__(cls, *_args: object, **_kwargs: object) -> Any:
        return OrderedDict()


def read(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file or a pickle, by its full name, on the CPU.

    The first bytes decide what a file is. Raises `EncoderError` for a pickle of more than weights and settings, and for
    a file without tensors; whatever the reader raises for a damaged one.
    """
    if _is_safetensors(path):
        import safetensors.torch

        content: Any = safetensors.torch.load_file(path)
    else:
        content = _unpickled(path)
    tensors = dict(_tensors(content, set()))
    if not tensors:
        raise EncoderError(
            f"The weights {path} hold no tensors; a safetensors file, or a pickle of tensors, is accepted; save the "
            "encoder's state dict: torch.save(encoder.state_dict(), PATH)."
        )
    return tensors


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(9)
    pickled = start[:1] == b"\x80" or start[:4] == b"PK\x03\x04"
    if not pickled and path.suffix == ".safetensors":
        return True
    # The length of a header of JSON, and its first letter.
    return len(start) == 9 and start[8:] == b"{" and struct.unpack("<Q", start[:8])[0] < path.stat().st_size


def _unpickled(path: Path) -> Any:
    stand_ins: list[Any] = [(_stand_in(name, _Setting), name) for name in _SETTINGS]
    stand_ins += [(_stand_in(name, _Dictionary), name) for name in _DICTIONARIES]
    settings = torch.serialization.safe_globals(stand_ins)
    try:
        with _READING, settings, warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # what cannot be used is said by who takes it
            if path.suffix == ".safetensors":  # a pickle by its first bytes; given the path, torch goes by its name
                return torch.load(file, map_location="cpu", weights_only=True)
            # A mapped file is read where a tensor is taken, so the optimizer's costs nothing.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch's unpickler meets the bytes of any file with any of them
        named = re.search(r"GLOBAL (\S+)", str(error)) or re.search(r"Unsupported class (\S+)", str(error))
        if named is None and "weights_only" not in str(error):
            raise
        kind = f" ({named[1]})" if named else ""
        raise EncoderError(
            f"The weights {path} are no weights, or a pickle of more than weights, which could run a program{kind}; a "
            "safetensors file, or a pickle of tensors alone, is accepted; get them in one of these forms, or save the "
            "state dict alone where the file was made: torch.save(encoder.state_dict(), PATH)."
        ) from error


def _stand_in(name: str, kind: type) -> type:
    # One class each: torch finds a class by its name, and a name by its class.
    return type(name.rpartition(".")[2], (kind,), {})


def _tensors(content: Any, seen: set[int], name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in dictionaries and lists, each of these once."""
    if isinstance(content, Tensor):
        yield name, content.detach()
    elif isinstance(content, Mapping | list | tuple) and id(content) not in seen:
        seen.add(id(content))
        parts = content.items() if isinstance(content, Mapping) else enumerate(content)
        for key, part in parts:
            yield from _tensors(part, seen, f"{name}.{key}" if name else str(key))

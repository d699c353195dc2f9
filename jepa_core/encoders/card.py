"""Model cards: what an encoder that was trained by this project is, beside its weights, as JSON.

A bundled encoder is a pair of files, `NAME.safetensors` and `NAME.json`. The card holds the fields of `EncoderSpec`,
how it was trained, and how good it is.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from jepa_core.config import hosted
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import EncoderError
from jepa_core.jacobian.spectrum import Rank


def spec_from_card(path: Path) -> EncoderSpec:
    """Read the spec out of a model card (`NAME.json`); the weights lie beside it as `NAME.safetensors`."""
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return _read_card(path, status.st_mtime_ns, status.st_size)


# Each run of a page lists the encoders. A card is read again once it was written; nobody may change its parts.
@lru_cache(maxsize=64)
def _read_card(path: Path, _written: int, _size: int) -> EncoderSpec:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        _check_card(card)
        return EncoderSpec(
            name=card["name"],
            family=card["family"],
            source="bundled",
            architecture=card["architecture"],
            architecture_kwargs=card["architecture_kwargs"],
            outputs=card["outputs"],
            projector=tuple(card["projector"]),
            data_config=card["data_config"],
            weights=path.with_suffix(".safetensors"),
            weights_digest=card["weights_digest"],
            ranks={output: Rank(**rank) for output, rank in card.get("ranks", {}).items()},
            training=card.get("training", ""),
            reference=card.get("reference", ""),
            licence=card["licence"],
            paper=card["paper"],
            description=card["description"],
            parameters=card.get("parameters", 0),
            known_failures=tuple(card.get("known_failures", ())),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(path, error) from error


def _check_card(card: dict[str, Any]) -> None:
    """Raise `ValueError` for values that are not of their kind, with which others would fail later."""
    texts = ("name", "family", "architecture", "weights_digest", "licence", "paper", "description")
    outputs, shape = card["outputs"], card["data_config"]["input_size"]
    numbers = [*outputs.values(), *card["projector"], *shape]
    if not (all(isinstance(card[name], str) for name in texts) and card["name"] and outputs and len(shape) == 3):
        raise ValueError("a text is missing")
    if not all(isinstance(number, int) and number > 0 for number in numbers):
        raise ValueError("a size is no number from 1 on")


def load_card(spec: EncoderSpec) -> dict[str, Any]:
    """The whole model card of an encoder that has one beside its weights; `EncoderError` if it cannot be read."""
    assert spec.weights is not None
    path = spec.weights.with_suffix(".json")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        _check_card(card)
        return card
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> EncoderError:
    return EncoderError(
        f"The model card {path.name if hosted() else path} cannot be read ({type(error).__name__}: {error}); "
        "a card written by 'python -m jepa_core pretrain' is accepted; make it again or remove the file."
    )

"""Parts that are broken and were left out, so that a person is told of each once, and the other parts go on."""

import logging
import threading

_log = logging.getLogger(__name__)
_said: dict[str, str] = {}
_lock = threading.Lock()


def say(part: str, sentence: str) -> None:
    """Say that a part is left out, in the log; not again while the sentence is the same."""
    with _lock:
        if _said.get(part) == sentence:
            return
        _said[part] = sentence
    _log.warning("%s", sentence)


def works(part: str) -> None:
    """Take back what was said of a part."""
    with _lock:
        _said.pop(part, None)


def all_said() -> list[str]:
    """What holds now, for a page to show."""
    with _lock:
        return list(_said.values())

"""The process that decodes: it reads pictures from its standard input and writes them, made safe, to its output.

Limits are set anew for each picture. Where one is broken the process dies, which its parent
(`jepa_core.decoding.sandbox`) tells as one sentence. It leaves when its parent is gone.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jepa_core.decoding import crop, decode
from jepa_core.decoding.sandbox import receive, send
from jepa_core.errors import BadImage

try:
    import resource
except ImportError:  # Windows: the parent's limit on time is left
    resource = None  # type: ignore[assignment]


def main() -> None:
    """Decode until there is nobody left to decode for."""
    given, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    while True:
        try:
            request, data = receive(given)
        except EOFError:
            return
        head, body = answer(request, data)
        try:
            send(answers, head, body)
        except BrokenPipeError:
            return


def answer(request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    """What there is to say of a picture, and its pixels (of the crop, where that was asked for)."""
    name, config = request["name"], request["crop"]
    try:
        with _limited(request["seconds"], request["extra"]) as sized:
            found = decode.read(data, name, request["megapixels"], sized)
            image = found.image if config is None else crop.crop_of(found.image, config, name)
            body = image.tobytes()
    except BadImage as error:
        return {"refused": str(error)}, b""
    except MemoryError:
        return {"refused": str(decode.too_dear(name))}, b""
    head = {
        "mode": image.mode,
        "size": image.size,
        "scale": crop.scale(found.image, config) if config else 1.0,
        "format": found.format,
        "width": found.width,
        "height": found.height,
        "notes": found.notes,
    }
    return head, body


@contextmanager
def _limited(seconds: float, extra: int) -> Iterator[Callable[[int], None]]:
    """Allow so much of the processor, and memory above what is held now; what it gives is told the picture's pixels."""
    if resource is None or not hasattr(signal, "setitimer"):
        yield lambda _pixels: None
        return
    held = _held()
    _, most = resource.getrlimit(resource.RLIMIT_AS)

    def sized(count: int) -> None:
        if held:
            resource.setrlimit(resource.RLIMIT_AS, (held + 4 * count + extra, most))

    signal.setitimer(signal.ITIMER_PROF, seconds)  # nobody handles its signal, so it ends the process
    sized(0)
    try:
        yield sized
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY if most < 0 else most, most))
        signal.setitimer(signal.ITIMER_PROF, 0)


def _held() -> int:
    """Bytes of this process's address space; 0 where that is not told."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0

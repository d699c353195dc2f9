"""One way to write what many sentences and tables need: lists, counts, per cent, intervals, durations."""

import math
from collections.abc import Sequence


def listed(words: Sequence[str], conjunction: str = "and") -> str:
    """Words in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"]), listed(["a", "b"], "or")
    ('a', 'a, b and c', 'a or b')
    """
    *first, last = words
    return f"{', '.join(first)} {conjunction} {last}" if first else last


def counted(count: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "image"), counted(2, "image"), counted(2, "MB")
    ('1 image', '2 images', '2 MB')
    """
    return f"{count} {noun}" if count == 1 or noun.isupper() else f"{count} {noun}s"


def per_cent(share: float) -> str:
    """A share (0 to 1).

    >>> per_cent(0.423)
    '42 %'
    """
    return f"{100 * share:.0f} %"


def percentile(value: float) -> str:
    """A percentile (0 to 100) as a number; with a decimal near the ends, where rounding would claim what is not so.

    >>> percentile(42.4), percentile(0.3), percentile(0.01), percentile(99.97), percentile(100.0)
    ('42', '0.3', '0.1', '99.9', '100')
    """
    if 99 < value < 100:
        return f"{min(value, 99.9):.1f}"
    return f"{max(value, 0.1):.1f}" if 0 < value < 1 else f"{value:.0f}"


def with_interval(value: float, low: float, high: float, digits: int = 2) -> str | None:
    """A number and its interval; None where there is no number.

    >>> with_interval(0.571, 0.53, 0.612), with_interval(float("nan"), 0.0, 0.0)
    ('0.57 (0.53 to 0.61)', None)
    """
    return None if math.isnan(value) else f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def lasting(seconds: float) -> str:
    """A duration as a person would say it.

    >>> lasting(0.04), lasting(75), lasting(600), lasting(9000)
    ('0.04 s', '75 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def in_bytes(size: int) -> str:
    """A number of bytes.

    >>> in_bytes(2_000), in_bytes(3_210_000), in_bytes(4_000_000_000)
    ('2 kB', '3.2 MB', '4.0 GB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"

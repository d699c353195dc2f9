"""What of an image a detector looks at: its fingerprints, each a matrix with a row an image."""

from typing import Literal, get_args

Fingerprint = Literal["embedding", "spectrum", "sizes", "joint", "visible", "scored"]
"""`embedding` (K); `spectrum`, the log singular values up to the rank; `sizes` of the layers, the logs of what the
Jacobian is made of (`jepa_core.jacobian.linearize`), which one forward pass gives; `joint`, sizes and embedding side by
side; `visible` measures of the crop (`jepa_core.confounds.visible`), which need no encoder."""

FINGERPRINTS: tuple[Fingerprint, ...] = get_args(Fingerprint)

WORDS: dict[Fingerprint, str] = {
    "embedding": "embedding",
    "spectrum": "log spectrum",
    "sizes": "layers' sizes",
    "joint": "layers' sizes and embedding",
    "visible": "visible measures",
    "scored": "score and visible measures",
}
"""How a fingerprint is called in a sentence."""

SHORT: dict[Fingerprint, str] = {
    "embedding": "embedding",
    "spectrum": "spectrum",
    "sizes": "layers",
    "joint": "layers + embedding",
    "visible": "visible",
    "scored": "score + visible",
}
"""How a fingerprint is called in a column's head."""

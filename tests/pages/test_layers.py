"""Pages show and choose; whatever computes, or asks the database, is in `jepa_core`."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FILES = [ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py"))]
COMPUTING = {"torch", "sqlite3", "scipy", "sklearn", "umap"}


def imported(source: str) -> Iterator[str]:
    """Everything that a source imports, anywhere in it, by its full name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{one.name}" for one in node.names)


def test_every_way_to_import_is_seen() -> None:
    source = (
        "import numpy as np\nfrom scipy import stats\ndef f():\n    import torch.nn\n    from sklearn.svm import SVC\n"
    )
    assert list(imported(source)) == ["numpy", "scipy.stats", "torch.nn", "sklearn.svm.SVC"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_compute_nothing_and_know_no_sql(path: Path) -> None:
    names = list(imported(path.read_text(encoding="utf-8")))
    assert COMPUTING.isdisjoint(name.partition(".")[0] for name in names)
    assert {name for name in names if name.startswith("numpy")} <= {"numpy.ndarray"}, "a type, and no function"

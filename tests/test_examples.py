"""The notebook runs from top to bottom, shows what its words say, and is kept without outputs."""

import ast
import json
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def cells(notebook: Path) -> list[dict]:
    return [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def run(notebook: Path) -> tuple[dict, list]:
    """Run the cells in one namespace; what each ends with is what a notebook shows."""
    names: dict = {"__name__": "__main__"}
    shown = []
    for cell in cells(notebook):
        body = ast.parse("".join(cell["source"])).body
        last = ast.Expression(body.pop().value) if isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), notebook.name, "exec"), names)
        if last is not None:
            shown.append(eval(compile(last, notebook.name, "eval"), names))
    return names, shown


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_no_outputs_are_kept(notebook: Path) -> None:
    assert [cell for cell in cells(notebook) if cell["outputs"] or cell["execution_count"]] == []


def test_five_minutes_show_what_their_words_say(
    cache: Path, shipped_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    shutil.copy(shipped_store, cache / "store.sqlite")
    names, (scores, ends, figure, verdicts) = run(ROOT / "examples" / "five_minutes.ipynb")
    assert scores["jepa_score"].notna().tolist() == [True] * 3
    table = names["table"]
    assert len(table) == 362, "360 handwritten digits and two photographs"
    assert table["jepa_score"].is_monotonic_increasing
    assert len(ends) == 6
    photographs = table[table["label"] == "photographs"]
    assert (photographs["percentile"] > 80).all(), "the score calls them likely"
    assert sum(figure.data[0].y) == pytest.approx(1)
    assert verdicts["verdict"].tolist() == ["Out of distribution", "Out of distribution", "Nothing unusual"]

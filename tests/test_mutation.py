"""The mutants of `benchmarks/mutation.py`: each changes one expression where it stands, and finds it again."""

import ast
from pathlib import Path

import pytest

from benchmarks import mutation

SOURCE = '''"""A module."""


def clip(value: int = 3, *, much: bool = False) -> int:
    """At most 7."""
    if much and value > 7:
        raise ValueError(f"{value + 1} is more than 7.")
    return min(value, 7) + 0
'''


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "jepa_core" / "stats").mkdir(parents=True)
    (tmp_path / "jepa_core" / "stats" / "clip.py").write_text(SOURCE)
    return tmp_path


def test_what_can_change_a_result_is_changed_and_words_are_left_alone(root: Path) -> None:
    found = {(one.kind, one.before, one.after) for one in mutation.candidates(root, "stats")}
    assert found == {
        ("constant", "3", "4"),
        ("constant", "False", "True"),
        ("boolean", "much and value > 7", "much or value > 7"),
        ("comparison", "value > 7", "value >= 7"),
        ("constant", "7", "8"),
        ("return", "min(value, 7) + 0", "None"),
        ("arithmetic", "min(value, 7) + 0", "min(value, 7) - 0"),
        ("constant", "0", "1"),
    }


def test_each_mutant_changes_its_expression_alone(root: Path) -> None:
    before = ast.dump(ast.parse(SOURCE))
    texts = [mutation.mutated(SOURCE, one) for one in mutation.candidates(root, "stats")]
    assert len(set(texts)) == len(texts)
    for text in texts:
        assert ast.dump(ast.parse(text)) != before
        changed = [one for one, was in zip(text.splitlines(), SOURCE.splitlines(), strict=True) if one != was]
        assert len(changed) == 1


def test_a_line_that_moved_or_was_indented_is_found_and_one_that_is_gone_is_told(root: Path) -> None:
    [one] = [one for one in mutation.candidates(root, "stats") if one.kind == "comparison"]
    moved = "\n" + SOURCE.replace("    if much", "        if much")
    assert "        if much and (value >= 7):" in mutation.mutated(moved, one)
    with pytest.raises(LookupError, match="no longer has the line 'if much and value > 7:', or has it 0 times"):
        mutation.mutated(SOURCE.replace("if much", "if so much"), one)


def test_a_seed_chooses_the_same_mutants_of_every_kind_and_a_list_is_read_as_it_was_written(root: Path) -> None:
    chosen = mutation.choose(root, ["stats"], 5, seed=1)
    assert chosen == mutation.choose(root, ["stats"], 5, seed=1)
    assert {one.kind for one in chosen} == set(mutation.KINDS)
    assert [one.number for one in chosen] == [1, 2, 3, 4, 5]
    mutation.write(root / "mutants.csv", chosen)
    assert mutation.read(root / "mutants.csv") == chosen

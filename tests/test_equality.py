"""Records that hold tables or arrays are compared by identity.

The `==` that `dataclass` writes compares the fields as tuples; of two tables or arrays that has no truth value, so that
`==`, `in`, `list.index` and `list.remove` raise wherever two records are equal so far, and a hash cannot be had.
"""

import ast
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
ARRAYS = {"ndarray", "DataFrame", "Series", "Tensor"}


class Record(NamedTuple):
    """A dataclass: where it is, the words in its fields' types (with where each is from), and its decorator."""

    name: str
    words: set[str]
    made: str


def records() -> list[Record]:
    paths = [path for part in ("jepa_core/**/*.py", "pages/**/*.py") for path in sorted(ROOT.glob(part))]
    return [record for path in paths for record in records_of(path)]


def records_of(path: Path) -> list[Record]:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    names = {node.name: f"{module}.{node.name}" for node in classes}
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and "jepa_core" in (node.module or "")]
    names |= {one.asname or one.name: f"{node.module}.{one.name}" for node in imports for one in node.names}
    found = []
    for node in classes:
        made = [ast.unparse(one) for one in node.decorator_list if ast.unparse(one).startswith("dataclass")]
        if made:
            types = [ast.unparse(one.annotation) for one in node.body if isinstance(one, ast.AnnAssign)]
            held = " ".join(re.sub(r"Callable\[.*", "", one) for one in types)  # what a function takes is not held
            words = {names.get(word, word) for word in re.findall(r"[A-Za-z_]\w*", held)}
            found.append(Record(names[node.name], words, made[0]))
    return found


def test_no_record_with_a_table_or_an_array_is_compared_by_its_fields():
    found, holding = records(), set(ARRAYS)
    while more := {record.name for record in found if record.words & holding} - holding:
        holding |= more
    assert len(holding) > 30, "the search finds nothing any more"
    assert [one.name for one in found if one.name in holding and "eq=False" not in one.made] == []

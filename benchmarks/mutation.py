"""Small faults in the source of a package, chosen at random with a fixed seed; `mutants.py` asks tests to find them.

A mutant is one changed expression: a comparison, a sum or product, a number, a condition, or a value that is returned.
Left alone is what cannot change a result: annotations, docstrings, the words of errors and of log lines.
"""

import ast
import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Mod: ast.FloorDiv,
}
KINDS = ("comparison", "arithmetic", "constant", "boolean", "return")


@dataclass(frozen=True)
class Mutant:
    """One changed expression. `source` is its line, by which it is found again once lines have moved; `column` counts
    from the first letter of that line.
    """

    number: int
    package: str
    file: str
    line: int
    column: int
    function: str
    kind: str
    before: str
    after: str
    source: str


def _text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _only_words(node: ast.AST) -> bool:
    """Whether nothing below this node can change a result."""
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("logger.", "logging.", "warnings."))


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.expr, str]]:
    """(kind, the expression that changes, what it becomes) of this node alone."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        changed = ast.Compare(node.left, [COMPARISONS[type(node.ops[0])]()], node.comparators)
        yield "comparison", node, ast.unparse(changed)
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC and not (_text(node.left) or _text(node.right)):
        yield "arithmetic", node, ast.unparse(ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right))
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "boolean", node, ast.unparse(ast.BoolOp(other, node.values))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "boolean", node, ast.unparse(node.operand)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "constant", node, str(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        more = node.value + 1 if isinstance(node.value, int) or node.value == 0 else node.value * 2
        yield "constant", node, repr(more)
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield "return", node.value, "None"
    if isinstance(node, ast.If | ast.IfExp | ast.While) and isinstance(node.test, ast.Name | ast.Attribute | ast.Call):
        yield "boolean", node.test, f"not {ast.unparse(node.test)}"


def _walk(node: ast.AST, function: str) -> Iterator[tuple[str, str, ast.expr, str]]:
    if _only_words(node):
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".lstrip(".")
    yield from ((function, *change) for change in _changes(node))
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _walk(child, function)


def candidates(root: Path, package: str) -> list[Mutant]:
    """Every mutant of a package, in the order of its files and lines; all are numbered 0."""
    found = []
    for path in sorted((root / "jepa_core" / package).glob("*.py")):
        text = path.read_text()
        lines = text.splitlines()
        for function, kind, node, after in _walk(ast.parse(text), ""):
            before = ast.get_source_segment(text, node) or ""
            line = lines[node.lineno - 1]
            column = len(line.encode()[: node.col_offset].decode()) - (len(line) - len(line.lstrip()))
            file, source, at = path.relative_to(root).as_posix(), line.strip(), (node.lineno, column)
            found.append(Mutant(0, package, file, *at, function, kind, before, after, source))
    return found


def stands_in(root: Path, mutant: Mutant) -> bool:
    """Whether another state of the project has the mutant's line, too."""
    path = root / mutant.file
    try:
        return path.exists() and bool(mutated(path.read_text(), mutant))
    except LookupError:
        return False


def choose(root: Path, packages: Sequence[str], each: int, seed: int, also: Path | None = None) -> list[Mutant]:
    """`each` mutants of every package, drawn so that every kind of change has its turn.

    With `also`, another state of the project, only those that stand in both: so two suites can be compared, each on the
    code that it was written for.
    """
    draw = random.Random(seed)
    chosen: list[Mutant] = []
    for package in packages:
        everything = [mutant for mutant in candidates(root, package) if also is None or stands_in(also, mutant)]
        piles = {kind: [mutant for mutant in everything if mutant.kind == kind] for kind in KINDS}
        for pile in piles.values():
            draw.shuffle(pile)
        taken = 0
        while taken < each and any(piles.values()):
            for pile in piles.values():
                if pile and taken < each:
                    chosen.append(pile.pop())
                    taken += 1
    return [Mutant(**asdict(mutant) | {"number": number}) for number, mutant in enumerate(chosen, start=1)]


def mutated(text: str, mutant: Mutant) -> str:
    """The text of the mutant's file with its one change.

    Raises:
        LookupError: if the line is not in the text, or more than once and not where it was.
    """
    lines = text.splitlines(keepends=True)
    same = [number for number, line in enumerate(lines) if line.strip() == mutant.source]
    at = mutant.line - 1 if mutant.line - 1 in same else same[0] if len(same) == 1 else None
    if at is None:
        raise LookupError(f"{mutant.file} no longer has the line {mutant.source!r}, or has it {len(same)} times")
    start = sum(map(len, lines[:at])) + len(lines[at]) - len(lines[at].lstrip()) + mutant.column
    return text[:start] + f"({mutant.after})" + text[start + len(mutant.before) :]


def write(path: Path, mutants: Sequence[Mutant]) -> None:
    """The list of mutants, as a table."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Mutant)], lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(mutant) for mutant in mutants)


def read(path: Path) -> list[Mutant]:
    """The list of mutants that `write` wrote."""
    with path.open(newline="") as file:
        return [
            Mutant(**row | {name: int(row[name]) for name in ("number", "line", "column")})
            for row in csv.DictReader(file)
        ]

"""The classes of a table of the hub: their names whole and apart, and the column that says them."""

import datasets as hub
import numpy as np
import pytest

from jepa_core.datasets.readers import huggingface
from jepa_core.datasets.readers.wordnet import all_in_words
from jepa_core.datasets.registry import get_dataset
from jepa_core.errors import DatasetError
from tests.helpers import png


def table(features: dict | None = None, **columns: list) -> hub.Dataset:
    count = len(next(iter(columns.values())))
    pictures = [{"bytes": png(seed), "path": None} for seed in range(count)]
    kinds = hub.Features({"image": hub.Image(), **features}) if features else None
    made = hub.Dataset.from_dict({"image": pictures, **columns}, features=kinds)
    return made if features else made.cast_column("image", hub.Image())


def labels(made: hub.Dataset, column: str | None = None) -> list[str]:
    spec = huggingface.from_table(made, "hub:a/b/test", "a/b (test)", "A set.", column)
    assert set(spec.classes) >= {item.label for item in spec.items()}
    return [item.label for item in spec.items()]


def declared(*names: str) -> hub.ClassLabel:
    return hub.ClassLabel(names=list(names))


@pytest.mark.parametrize(
    "names",
    [
        ("maillot", "maillot, tank suit"),
        ("shirt, red", "shirt, blue"),
        ("crane", "crane, bird", " crane"),
        ("a,b", "a,c", "a"),
        ("n02012849", "n03126707"),
        ("n02012849", "n03126707", "crane", "crane (n02012849)"),
    ],
)
def test_names_stay_apart(names):
    found = labels(table({"label": declared(*names)}, label=list(range(len(names)))))
    assert len(set(found)) == len(names)
    if not names[0].startswith("n0"):
        assert found == list(names)


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        ({"superclass": 1, "label": 4}, "label"),
        ({"coarse_label": 2, "fine_label": 4}, "fine_label"),
        ({"superclass": 2, "class": 4}, "class"),
        ({"colour": 2, "shape": 4}, "shape"),
        ({"colour": 4, "class_of_bird": 2}, "class_of_bird"),
    ],
)
def test_the_column_that_is_taken(columns, chosen):
    kinds = {name: declared(*(f"{name} {number}" for number in range(count))) for name, count in columns.items()}
    values = {name: [number % count for number in range(4)] for name, count in columns.items()}
    made = table(kinds, **values)
    assert labels(made) == [f"{chosen} {number % columns[chosen]}" for number in range(4)]
    other = next(name for name in columns if name != chosen)
    assert labels(made, other) == [f"{other} {number % columns[other]}" for number in range(4)]
    spec = huggingface.from_table(made, "x", "x", "A set.")
    assert spec.remarks == (
        f"Its classes are the column '{chosen}'. ?class=COLUMN behind its name takes another column: '{other}'."
    )
    assert spec.tell_left_out() == spec.remarks


def test_an_undeclared_label_comes_before_a_declared_coarse_column():
    made = table({"super": declared("a"), "label": hub.Value("string")}, super=[0, 0], label=["kite", "crow"])
    assert labels(made) == ["kite", "crow"]


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (hub.Value("string"), ["kite", None, "", "crow"], ["kite", "(no class)", "(no class)", "crow"]),
        (hub.Value("int64"), [3, None, -1, 10], ["3", "(no class)", "-1", "10"]),
        (hub.Value("bool"), [True, False], ["True", "False"]),
        (declared("a", "b"), [1, None, -1], ["b", "(no class)", "(no class)"]),
        (hub.List(declared("a", "b")), [[0, 1], [], None, [1]], ["a + b", "(no class)", "(no class)", "b"]),
        (hub.List(hub.Value("int64")), [[0, 1], [5]], ["0 + 1", "5"]),
        (hub.List(hub.List(hub.Value("string"))), [[["x"], ["y", "z"]], [[]]], ["x + y + z", "(no class)"]),
        (hub.Value("float32"), [0.5, 1.0], ["(no class)", "(no class)"]),
    ],
)
def test_kinds_of_labels(kind, values, expected):
    made = table({"label": kind}, label=values)
    assert labels(made) == expected
    said = huggingface.from_table(made, "x", "x", "A set.").remarks
    missing = expected.count("(no class)")
    if "float" in str(kind):
        assert "None of its columns says classes." in said
    elif missing:
        assert f"{missing} have no class." in said
    assert ("have them joined by '+'" in said) == isinstance(kind, hub.List)


def test_a_column_is_named_behind_the_name_of_the_set(monkeypatch):
    made = table({"coarse": declared("x"), "fine": declared("a", "b")}, coarse=[0, 0], fine=[0, 1])
    monkeypatch.setattr(hub, "load_dataset", lambda *_args, **_kwargs: made)
    assert [item.label for item in get_dataset("hub:a/b/test").items()] == ["a", "b"]
    spec = get_dataset("hub:a/b/test?class=coarse")
    assert ([item.label for item in spec.items()], spec.name) == (["x", "x"], "hub:a/b/test?class=coarse")
    assert get_dataset("hub:a/b/test?class=coarse#1:2").name == "hub:a/b/test?class=coarse#1:2"
    with pytest.raises(DatasetError, match=r"has no column of classes 'colour'; fine, coarse are accepted;"):
        get_dataset("hub:a/b/test?class=colour")
    with pytest.raises(DatasetError, match=r"no column of classes 'image'; fine, coarse are accepted"):
        get_dataset("hub:a/b/test?class=image")
    with pytest.raises(DatasetError, match=r"\?class=COLUMN behind it"):
        get_dataset("hub:a/b/test?class=")


def test_all_classes_of_imagenet_stay_apart():
    from timm.data import ImageNetInfo

    ids = tuple(ImageNetInfo("imagenet-22k").label_names())
    words = all_in_words(ids)
    assert len(set(words)) == len(ids)
    assert np.mean([" (n" in word for word in words]) < 0.5

"""Two lists of parts have the same key exactly when they are the same list."""

import itertools

import pytest

from jepa_core.keys import make_key

DIFFERENT = [
    (),
    ("",),
    ("", ""),
    ("a", "bc"),
    ("ab", "c"),
    ("abc",),
    (b"abc",),
    ("1",),
    (b"1",),
    (1,),
    (1.0,),
    (True,),
    (0,),
    (False,),
    (None,),
    ("None",),
    (-1,),
    (1e-300,),
    ("é",),
    ("é".encode(),),
]


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(DIFFERENT, 2)))
def test_different_parts_have_different_keys(one, other):
    assert make_key(*one) != make_key(*other)


@pytest.mark.parametrize("parts", DIFFERENT)
def test_equal_parts_have_equal_keys(parts):
    assert make_key(*parts) == make_key(*tuple(parts))


def test_a_key_is_the_same_on_every_machine_and_in_every_version():
    # Written down: a change of this value would make every stored result unfindable.
    assert make_key("weights", 1, None, True, 0.5, b"\x00") == (
        "d72493df043fa006439ae2f3209ff24b3415dcca5e371a60eec0371624f31132"
    )


def test_a_part_of_another_type_is_refused():
    with pytest.raises(TypeError, match=r"A key part must be str, bytes, int, float, bool or None\. Got list\."):
        make_key("a", ["b"])

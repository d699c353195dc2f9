"""Pictures that a visitor hands over: what is taken, what is refused with which words, and what is forgotten."""

import io
import zipfile

import pytest

from jepa_core.datasets import uploads
from jepa_core.datasets.uploads import Uploads
from tests.helpers import png


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def taken(*files: tuple[str, bytes]) -> Uploads:
    held = Uploads()
    held.take(files)
    return held


def test_files_and_the_pictures_of_a_zip_are_taken_in_order():
    held = taken(("a.png", png(0)), ("more.zip", zipped({"in/b.png": png(1), "c.PNG": png(2)})), ("d.png", png(3)))
    assert held.pictures == [("a.png", png(0)), ("in/b.png", png(1)), ("c.PNG", png(2)), ("d.png", png(3))]
    assert held.refused == []


def test_what_is_no_picture_is_named_in_one_sentence_and_hidden_files_in_none():
    files = {"a.png": png(0), "notes.txt": b"x", "b/list.csv": b"y", "__MACOSX/._a.png": b"z", ".DS_Store": b"w"}
    held = taken(("mixed.zip", zipped(files)))
    assert [name for name, _data in held.pictures] == ["a.png"]
    (sentence,) = held.refused
    assert sentence.startswith("Left out of mixed.zip, since they are not PNG, ")
    assert sentence.endswith(": 2 (notes.txt, b/list.csv).")


def test_a_damaged_entry_is_one_sentence_and_the_others_are_taken():
    data = zipped({"good.png": png(0), "bad.png": png(1), "last.png": png(2)}, zipfile.ZIP_STORED)
    held = taken(("some.zip", data.replace(png(1)[-40:], bytes(40))))
    assert [name for name, _data in held.pictures] == ["good.png", "last.png"]
    (sentence,) = held.refused
    assert sentence.startswith("bad.png in some.zip cannot be read (Bad CRC-32")


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_zip_that_is_cut_off_is_one_sentence(cut):
    data = zipped({"a.png": png(0)})
    held = taken(("cut.zip", data[: int(len(data) * cut)]), ("b.png", png(1)))
    assert [name for name, _data in held.pictures] == ["b.png"]
    assert held.refused == [
        "cut.zip is a ZIP that cannot be read (File is not a zip file); a whole one is accepted; make it again."
    ]


def test_a_stream_that_is_damaged_inside_is_one_sentence():
    data = bytearray(zipped({"a.png": bytes(range(256)) * 40}))
    data[60:80] = bytes(20)
    (sentence,) = taken(("odd.zip", bytes(data))).refused
    assert sentence.startswith("a.png in odd.zip cannot be read (")


def test_a_zip_without_a_picture_says_what_is_accepted():
    (sentence,) = taken(("notes.zip", zipped({"notes.txt": b"x"}))).refused
    assert sentence.startswith("notes.zip has no pictures; a ZIP of PNG, JPEG")


def test_an_entry_that_grows_too_much_is_refused_whatever_its_header_says():
    held = taken(("bomb.zip", zipped({"bomb.png": bytes(8 * 2**20), "a.png": png(0)})))
    assert [name for name, _data in held.pictures] == ["a.png"]
    assert held.refused == [
        "bomb.png in bomb.zip grows more than 200-fold when unpacked, which is not accepted; save it as PNG or JPEG."
    ]


def test_an_entry_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(uploads, "MOST_PICTURE_BYTES", 2**20)
    (sentence,) = taken(("big.zip", zipped({"big.png": bytes(2**20 + 1)}, zipfile.ZIP_STORED))).refused
    assert sentence == "big.png in big.zip is larger than 1 MB, the most that is accepted; make it smaller."


def test_a_zip_of_too_many_files_is_refused_unread(monkeypatch):
    monkeypatch.setattr(uploads, "ENTRIES", 3)
    held = taken(("many.zip", zipped({f"{seed}.png": png(seed) for seed in range(4)})))
    assert held.pictures == []
    assert held.refused == ["many.zip has 4 files; up to 3 are accepted; divide it into several."]


def test_pictures_beyond_the_limit_are_counted(monkeypatch):
    monkeypatch.setattr(uploads, "MOST_PICTURES", 3)
    held = taken(("a.png", png(0)), ("z.zip", zipped({f"{seed}.png": png(seed) for seed in range(5)})))
    assert len(held.pictures) == 3
    (sentence,) = held.refused
    assert sentence.startswith("Not taken: 3. Up to 3 pictures with 256 MB together are accepted;")


def test_bytes_beyond_the_limit_are_not_held(monkeypatch):
    monkeypatch.setattr(uploads, "MOST_SESSION_BYTES", len(png(0)) + 10)
    held = taken(("a.png", png(0)), ("b.png", png(1)))
    assert [name for name, _data in held.pictures] == ["a.png"]
    assert held.refused[0].startswith("Not taken: 1.")


def test_where_an_entry_says_it_lies_leads_nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    held = taken(("sly.zip", zipped({"../../out.png": png(0), "/etc/x.png": png(1)})))
    assert [data for _name, data in held.pictures] == [png(0), png(1)]
    assert list(tmp_path.iterdir()) == []


def test_more_pictures_are_added_and_what_was_found_of_the_first_is_dropped():
    held = taken(("a.png", png(0)))
    held.found["key"], held.chosen, before = object(), 0, held.token
    held.take([("b.png", png(1))])
    assert [name for name, _data in held.pictures] == ["a.png", "b.png"]
    assert (held.found, held.chosen) == ({}, None)
    assert held.token != before


def test_nothing_is_left_after_forgetting():
    held = taken(("a.png", png(0)), ("bad.zip", b"PK"))
    held.found["key"], before = object(), held.token
    held.forget()
    assert (held.pictures, held.refused, held.found) == ([], [], {})
    assert held.size == 0
    assert held.token != before

"""CSV that a spreadsheet does not run, and that is read back as it was."""

import csv

import pandas as pd
import pytest

from jepa_core.analysis import curation
from jepa_core.datasets import listings
from jepa_core.spreadsheets import csv_text, guarded, original, read_csv
from jepa_core.store import shipped

NASTY = [
    '=HYPERLINK("http://example.org";"x")',
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\uff1d1+1",
    "'=1",
    "''=1",
    "'tis",
    "'",
    "''",
    'a,"b"',
    "a\rb",
    "a\r\nb",
    "-3.2",
    "+5",
    "-",
    "",
    "007",
    "True",
    "nan",
    "None",
    "grün, 猫",
    " =1",
]


@pytest.mark.parametrize("cell", NASTY, ids=ascii)
def test_a_cell_is_no_formula_and_comes_back_exactly(cell):
    written = guarded(cell)
    assert written[:1] not in {*"=@\t\r\n\uff1d"}
    assert written[:1] not in {*"+-"} or float(written)
    assert original(written) == cell


@pytest.mark.parametrize("cell", ["cat", "=old", "'tis", "-x"])
def test_what_was_written_without_it_is_read_as_it_is(cell):
    assert original(cell) == cell


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "name": NASTY,
            "position": range(len(NASTY)),
            "label": NASTY[::-1],
            "jepa_score": [-3.2, 0.1 + 0.2, *[-1e-300 * k for k in range(len(NASTY) - 3)], float("nan")],
            "estimated": [place % 2 == 0 for place in range(len(NASTY))],
        }
    )


def test_an_exported_table_is_read_back_exactly(tmp_path):
    shipped.write_table(table(), tmp_path / "t.csv")
    pd.testing.assert_frame_equal(
        read_csv(tmp_path / "t.csv"), table().astype({"name": object, "label": object}), check_exact=True
    )


def test_no_cell_of_what_is_downloaded_begins_like_a_formula():
    for written in (csv_text(table()), curation.as_csv(table()).decode()):
        rows = list(csv.reader(written.splitlines(keepends=True)))
        text = [cell for row in rows[1:] for cell in (row[0], row[2])]
        assert [cell for cell in text if cell[:1] in {*"=@\t\r\n\uff1d"}] == []
        assert [cell for cell in text if cell[:1] in {*"+-"}] == ["+5", "-3.2", "-3.2", "+5"]


def test_numbers_stay_numbers():
    assert csv_text(pd.DataFrame({"jepa_score": [-3.2], "label": ["-1"]})) == "jepa_score,label\n-3.2,-1\n"


def test_a_listing_with_such_names_is_read_as_the_folder_is_called(tmp_path):
    rows = [listings.Entry(name, "=class", "0" * 64) for name in ("=1.png", "'2.png", "3.png")]
    listings._write_csv(tmp_path / "l.csv", rows)
    assert listings._read(tmp_path / "l.csv") == tuple(rows)
    assert "\n=" not in (tmp_path / "l.csv").read_text()


def test_nothing_writes_csv_but_the_guarded_way():
    from tests.test_equality import ROOT

    files = [*ROOT.glob("jepa_core/**/*.py"), *ROOT.glob("pages/**/*.py")]
    direct = [path.name for path in files if ".to_csv(" in path.read_text(encoding="utf-8")]
    assert direct == ["spreadsheets.py"]

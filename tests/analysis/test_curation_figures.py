"""What is said of the orders is what bench curation found: on the page, and in docs/curation.md."""

from benchmarks import curation_tables
from jepa_core.analysis import curation_figures
from jepa_core.analysis.review_orders import ORDERS
from jepa_core.config import ROOT


def test_every_order_has_shipped_figures_that_its_sentence_names() -> None:
    for order in ORDERS:
        found = curation_figures.figures(order)
        assert {one.planted for one in found} == {"foreign", "disturbed", "wrong class"}
        sentence = curation_figures.in_words(order)
        for one in found:
            assert one.low <= one.precision <= one.high
            assert f"{100 * one.precision:.0f} % ({100 * one.low:.0f} to {100 * one.high:.0f}) of the" in sentence
        assert found[0].where in sentence
    assert curation_figures.in_words("nothing") == ""


def test_the_documents_tables_are_those_of_the_files() -> None:
    document = (ROOT / "docs" / "curation.md").read_text(encoding="utf-8")
    tables = curation_tables.tables()
    for table in tables.values():
        assert curation_tables.orders(table) in document
    without = {title: table for title, table in tables.items() if not title.startswith("Digits")}
    assert curation_tables.copies(without) in document

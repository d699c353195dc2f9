"""The evidence for one checked picture: its verdict, where it falls by each method, and what is like it."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from jepa_core import images
from jepa_core.check import evidence
from jepa_core.check.evidence import Checked
from jepa_core.check.known_set import KnownSet
from jepa_core.check.verdict import Explains, VerdictKind
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.figures.histogram import reference_histogram
from jepa_core.figures.layers import layer_deviations_figure, layer_deviations_in_words
from jepa_core.figures.percentiles import percentiles_figure
from jepa_core.figures.style import CONFIG
from pages._sections.check import verdict_list
from pages._shared import image_grid
from pages._shared.choice import Choice
from pages._shared.text import escaped, percentile_in_words

number, text = st.column_config.NumberColumn, st.column_config.TextColumn
PERCENTILE_COLUMNS = {
    "method": text("Method", pinned=True),
    "value": number("Value", format="%.2f"),
    "percentile": number("Percentile", format="%.1f", help="Among the references; of a distance, high is far"),
    "low": number("from", format="%.1f", help="90 % interval: what another reference of this size would change"),
    "high": number("to", format="%.1f"),
    "p_lower": number("p unlikely", format="%.3f", help="Share of ordinary pictures that are as unlikely, or as far"),
    "p_two_sided": number("p either side", format="%.3f", help="The same for both sides: too high counts as well"),
    "raised": None,
}
MEASURE_COLUMNS = {
    "measure": text("Visible measure", pinned=True),
    "unit": text("Unit"),
    "value": number("This picture", format="%.2f"),
    "percentile": number("Percentile", format="%.0f", help="Among the references"),
    "low": number("References from", format="%.2f", help="Nine in ten references are between these two"),
    "high": number("to", format="%.2f"),
}


@dataclass(frozen=True, eq=False)
class Against:
    """What a picture is held against: a dataset, or a class of it, as an encoder sees it."""

    choice: Choice
    dataset: DatasetSpec
    label: str | None
    known: KnownSet


def show(item: Checked, others: Sequence[Checked], against: Against) -> None:
    """The verdict on one picture, with what it rests on; `others` were checked with it."""
    verdict_list.banner(item, _crop_address(item))
    explained = item.complexity is not None and item.complexity.explains is Explains.YES
    if explained and item.verdict.kind is VerdictKind.REVIEW:
        words = f"Its {item.complexity.measure.title} alone could be the reason."
        st.warning(escaped(words), icon=":material/warning:")
    st.markdown("\n".join(f"- {escaped(sentence)}" for sentence in item.verdict.sentences))
    for note in item.notes:
        st.caption(escaped(note))
    table = evidence.percentiles_table(item)
    left, right = st.columns(2)
    with left:
        if len(item.deviations):
            _show_layers(item, against)
        _show_score(item, others, against)
    with right:
        st.markdown("**Every method's view** of it, with its 90 % interval")
        st.plotly_chart(
            percentiles_figure(table),
            config=CONFIG,
            alt="; ".join(
                f"{row.method}: above {row.percentile:.1f} % of the references" for row in table.itertuples()
            ),
        )
    _show_neighbours(item, against)
    with st.expander("All figures: methods, p-values, what can be seen", icon=":material/table_chart:"):
        st.dataframe(table, hide_index=True, height="content", placeholder="-", column_config=PERCENTILE_COLUMNS)
        if not item.measures.empty:
            st.dataframe(
                item.measures, hide_index=True, height="content", placeholder="-", column_config=MEASURE_COLUMNS
            )


def _show_layers(item: Checked, against: Against) -> None:
    st.markdown("**Its layers**, from the first to the last")
    st.plotly_chart(
        layer_deviations_figure(item.deviations),
        config=CONFIG,
        alt=layer_deviations_in_words(item.deviations),
    )
    st.caption(escaped(f"How far the sizes in each layer lie from their mean over {against.known.fitted_on}."))


def _show_score(item: Checked, others: Sequence[Checked], against: Against) -> None:
    place = item.places.get("jepa")
    if place is None:
        return
    st.markdown("**Its score** among the references")
    scores = [other.places["jepa"].score for other in others if other is not item]
    st.plotly_chart(
        reference_histogram(against.known.scores, "this picture", place.score, scores),
        config=CONFIG,
        alt=f"{item.name} at {place.score:.1f} on the histogram of {len(against.known.scores)} reference scores, "
        f"{percentile_in_words(place.percentile)} ({place.low:.1f} to {place.high:.1f})",
    )


def _show_neighbours(item: Checked, against: Against) -> None:
    """The nearest references, and the nearest of either end of the score."""
    st.markdown("**The references that the encoder finds most like it**, wherever they score")
    if against.dataset.listed:
        near = "; ".join(f"{row.label}, {percentile_in_words(row.percentile)}" for row in item.nearest.itertuples())
        st.markdown(escaped(f"Their pictures are not here. Their classes: {near}."))
        return
    image_grid.grid(
        image_grid.cards(against.choice, against.dataset, item.nearest, against.label),
        key="nearest",
        label="Nearest references",
    )
    ends = (("most", "likely", item.likely), ("least", "unlikely", item.unlikely))
    for column, (share, end, rows) in zip(st.columns(2), ends, strict=True):
        with column:
            st.markdown(f"The nearest in the **{share} likely** quarter")
            title = f"Nearest of the {share} likely references"
            image_grid.grid(
                image_grid.cards(against.choice, against.dataset, rows, against.label),
                end,
                key=f"nearest-{end}",
                label=title,
            )


def _crop_address(item: Checked) -> str:
    return image_grid.data_address(images.display_png(item.crop, 160))

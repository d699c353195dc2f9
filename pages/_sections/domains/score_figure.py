"""Domains' figure: whole sets on one encoder's score, or beside each other on every encoder's own scale."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st
from numpy import ndarray

from jepa_core.analysis import side_by_side
from jepa_core.encoders.registry import list_encoders
from jepa_core.errors import NotEnoughData
from jepa_core.figures.domains import FORMS, SCORE, domain_figure, medians_in_words
from jepa_core.figures.style import CONFIG
from pages._sections.domains import domain_scores
from pages._shared import figure_cache, known_sets, score_tables, url_state
from pages._shared.choice import Choice
from pages._shared.errors import fragment
from pages._shared.text import escaped

_A_ROW = 3  # figures side by side
_AXIS = "spreads (likely to the right)"


@fragment
def show(choice: Choice, names: Sequence[str]) -> None:
    """The sets' scores in the form that is chosen; the first set is the reference."""
    listed = known_sets.specs()
    everyone = [domain_scores.choice_of(choice, spec) for spec in list_encoders().values()]
    everyone = [one for one in everyone if one == choice or score_tables.scored(one, listed[names[0]])]
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        form = url_state.choose_one("Shown as", FORMS, "histogram", "form")
    if len(everyone) > 1:
        with right:
            options = {"one": escaped(choice.spec.name), "all": f"all {len(everyone)}, side by side"}
            across_all = url_state.choose_one("Encoders", options, "one", "across") == "all"
        if across_all:
            _show_all(everyone, names, form)
            return
    _figure(_scores(choice, names), _versions(choice, names), listed[names[0]].title, form)
    st.caption(_WORDS[form])


_WORDS = {
    "histogram": "Each row has its own height. The bar below a row is the middle half of its images, the tick their "
    "median; the blue band is the middle half of the reference.",
    "density": "A smoothed histogram (Gaussian kernels, Scott's bandwidth); each row has its own height. The bar below "
    "a row is the middle half of its images, the tick their median; the blue band is the middle half of the reference.",
    "cumulative": "Each row rises from none to all of its images. Dotted is the reference: where a row lies above it, "
    "its images are less likely, and where they cross, one set is wider than the other.",
}


def _scores(choice: Choice, names: Sequence[str]) -> dict[str, ndarray]:
    listed = known_sets.specs()
    return {listed[name].title: score_tables.scores(choice, listed[name])["jepa_score"].to_numpy() for name in names}


def _versions(choice: Choice, names: Sequence[str]) -> list[str]:
    listed = known_sets.specs()
    return [score_tables.version(choice, listed[name]) for name in names]


def _figure(
    scores: Mapping[str, ndarray],
    versions: Sequence[str],
    reference: str,
    form: str,
    name: str = "",
    *,
    axis: str = SCORE,
    height: int = 40,
) -> None:
    st.plotly_chart(
        figure_cache.cached_figure(
            lambda: domain_figure(scores, reference, form, axis=axis, row_height=height),
            *("domains", reference, form, axis, height, *scores, *versions),
        ),
        config=CONFIG,
        alt=f"{FORMS[form]} of each set{f' by {name}' if name else ''}. Medians: {medians_in_words(scores)}",
        key=f"domains:{name}",
    )


def _show_all(everyone: Sequence[Choice], names: Sequence[str], form: str) -> None:
    """A figure for each encoder in units of its own reference, then what they agree on."""
    reference = known_sets.specs()[names[0]].title
    st.caption(
        escaped(
            f"Scores of different encoders are not on one scale, so each has its own: 0 is the median of {reference} "
            "by that encoder, and 1 the spread of its scores of it (the width of their middle half, divided by 1.35). "
            "Compare where a set lies beside the blue band, not the numbers below two figures."
        )
    )
    shown = []
    for first in range(0, len(everyone), _A_ROW):
        for column, choice in zip(st.columns(_A_ROW), everyone[first:], strict=False):
            scores = _scores(choice, names)
            with column:
                st.markdown(f"**{escaped(choice.spec.name)}**, {escaped(choice.output)}")
                try:
                    spread = {
                        title: side_by_side.in_spreads(values, scores[reference]) for title, values in scores.items()
                    }
                except NotEnoughData as error:
                    st.markdown(escaped(str(error)))
                    continue
                versions = _versions(choice, names)
                _figure(spread, versions, reference, form, choice.spec.name, axis=_AXIS, height=30)
                shown.append(choice)
    with st.spinner("Comparing the encoders"):
        found = domain_scores.across_table(shown, names)
    st.markdown(escaped(side_by_side.in_words(found, reference)))
    _tables(found, [choice.spec.name for choice in shown])


def _tables(found: pd.DataFrame, encoders: Sequence[str]) -> None:
    domains = list(dict.fromkeys(found["domain"]))
    text = st.column_config.TextColumn
    columns = {"domain": text("Domain", pinned=True)}
    st.dataframe(
        pd.DataFrame({"domain": domains} | dict(side_by_side.by_encoder(found, "auroc", encoders))),
        hide_index=True,
        height="content",
        placeholder="-",
        column_config=columns | {name: text(f"AUROC {name}") for name in encoders},
    )
    with st.expander("FPR95, medians and middle halves, encoder by encoder", icon=":material/table_chart:"):
        st.dataframe(
            pd.DataFrame({"domain": domains} | dict(side_by_side.by_encoder(found, "fpr95", encoders))),
            hide_index=True,
            placeholder="-",
            column_config=columns | {name: text(f"FPR95 {name}") for name in encoders},
        )
        st.dataframe(
            pd.DataFrame({"domain": domains} | dict(side_by_side.middles(found, encoders))),
            hide_index=True,
            placeholder="-",
            column_config=columns | {name: text(f"Median {name}") for name in encoders},
        )
        st.caption("AUROC and FPR95 with 90 % intervals; medians with the middle half, in spreads of the reference.")

"""The section "What else differs?": could something as plain as brightness be what the score tells apart?"""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from jepa_core.confounds import matching, measure
from jepa_core.confounds.image_stats import MEASURES
from jepa_core.confounds.matching import Explanation, Kind
from jepa_core.confounds.report import as_table, in_words
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.errors import NotEnoughData
from jepa_core.figures.confounds import confounds_figure
from jepa_core.figures.style import CONFIG
from jepa_core.jobs import Job, State
from jepa_core.keys import make_key
from jepa_core.wording import with_interval
from pages._shared import figure_cache, jobs_ui, resources, score_tables
from pages._shared.choice import Choice
from pages._shared.text import counted, escaped

_EXPLANATION = """A **confound** is something else in which two sets of images differ, and which the score may be
following instead of what the images show. If all galaxies are dark and all digits bright, a score that only sees
brightness tells them apart perfectly.

So simple **measures** are taken of each image, on the very crop that is scored:

{measures}

**The measure alone** (open circle) is how well the measure tells the two sets apart without any encoder. Right of 0.5
the domain has more of it, left of 0.5 less; far from 0.5 on either side is suspicious.

**The score, sets matched** (diamond): the score's AUROC once the reference is weighted so that it is as bright (as
complex, ...) as the domain. Where it moves towards 0.5, the measure was behind the separation: most of it if two thirds
of the distance to 0.5 go, part of it from one fifth on. Where hardly an image of the domain has equals in the
reference, the sets cannot be matched, and nobody can say from these images which of the two the score sees.

**Correlation** is Spearman's, of the score with the measure within the reference alone: positive if images with more of
it are likelier. **Given the strongest** is the same after the measure that the score follows most was taken out.

Measures are taken one at a time. And what explains a separation need not be a mistake: inverted digits differ from
digits by nothing but their brightness."""


def show(choice: Choice, reference: DatasetSpec, domain: DatasetSpec) -> None:
    """What else differs between the reference and a domain."""
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    left.header("What else differs?")
    with right.popover("What is a confound?", icon=":material/help:", width="stretch"):
        lines = [f"- {one.title} ({one.unit}): {one.meaning[0].lower()}{one.meaning[1:]}" for one in MEASURES.values()]
        st.markdown(_EXPLANATION.format(measures="\n".join(lines)))
    tables = {one: score_tables.scores(choice, one) for one in (reference, domain)}
    try:
        for one in tables:
            if one.listed:  # without its measures, those of the other set are of no use
                measure.load(resources.store(), choice.spec, one, tables[one])
        under_way = [_measuring(choice, one, table) for one, table in tables.items()]
        if any(under_way):
            return
        missing = [len(measure.missing(resources.store(), choice.spec, table)) for table in tables.values()]
        versions = [score_tables.version(choice, one) for one in tables]
        found = _explained(versions, missing, tables, choice)
    except NotEnoughData as error:
        st.info(escaped(str(error)), icon=":material/visibility_off:")
        return
    _show(found, [*versions, *missing])


@st.cache_data(show_spinner="Matching the two sets", max_entries=64)
def _explained(
    versions: Sequence[str],  # noqa: ARG001
    missing: Sequence[int],  # noqa: ARG001
    _tables: dict[DatasetSpec, pd.DataFrame],
    _choice: Choice,
) -> Explanation:
    reference, domain = (
        measure.load(resources.store(), _choice.spec, dataset, table) for dataset, table in _tables.items()
    )
    return matching.explain(reference, domain)


def _measuring(choice: Choice, dataset: DatasetSpec, table: pd.DataFrame) -> bool:
    """See to it that a set's missing measures are taken; whether that is still under way, or was stopped."""
    if dataset.listed or measure.missing(resources.store(), choice.spec, table).empty:
        return False
    key = make_key("measure", choice.spec.transform, dataset.name, *measure.chosen(table)["digest"])
    job = resources.jobs().get(key)
    if job is not None and job.state is State.DONE:
        failed = counted(len(job.result), "picture") if isinstance(job.result, list) else "Some pictures"
        st.caption(escaped(f"{failed} of {dataset.title} could not be read and measured."))
        return False
    if job is not None and job.state is State.FAILED:
        st.error(escaped(job.message), icon=":material/error:")
    ended = job is not None and not job.active
    if not ended or st.button(
        f"Measure the pictures of {escaped(dataset.title)}", icon=":material/play_arrow:", key=key
    ):

        def work(job: Job) -> list[tuple[str, str]]:
            return measure.measure_missing(resources.store(), choice.spec, dataset, table, job.report, job.cancelled)

        job = resources.jobs().submit(key, f"Measuring the pictures of {dataset.title}", work)
    if job is not None and job.active:
        jobs_ui.show_progress(job)
    return True


def _show(found: Explanation, versions: Sequence[str | int]) -> None:
    words = escaped(in_words(found))
    if found.kind is Kind.MOST:
        st.warning(words, icon=":material/warning:")
    else:
        st.markdown(words)
    table = as_table(found)
    st.plotly_chart(
        figure_cache.cached_figure(
            lambda: confounds_figure(table, found.auroc, found.low, found.high), "confounds", *versions
        ),
        config=CONFIG,
        alt=f"AUROC {found.auroc:.2f} of the score; of each measure alone, and of the score matched in it: "
        + "; ".join(
            f"{row.measure} {row.auroc:.2f}, {'cannot be matched' if pd.isna(row.after) else f'{row.after:.2f}'}"
            for row in table.itertuples()
        ),
    )
    with st.expander("The figures", icon=":material/table_chart:"):
        number, text = st.column_config.NumberColumn, st.column_config.TextColumn
        st.dataframe(
            pd.DataFrame(
                {
                    "measure": table["measure"],
                    "auroc": table["auroc"],
                    "after": [with_interval(row.after, row.after_low, row.after_high) for row in table.itertuples()],
                    "before": table["before"],
                    "matched": [f"{matched} of {found.images}" for matched in table["matched"]],
                    "equals": table["equals"],
                    "spearman": table["spearman"],
                    "partial": table["partial"],
                    "kind": table["kind"],
                }
            ),
            hide_index=True,
            height="content",
            placeholder="-",
            column_config={
                "measure": text("Measure", pinned=True),
                "auroc": number("AUROC alone", format="%.2f"),
                "after": text("Score, sets matched"),
                "before": number(
                    "Score before", format="%.2f", help="AUROC of the matched images against all of the reference"
                ),
                "matched": text("Matched", help="Images of the domain that have equals in the reference"),
                "equals": number("Equals", format="%.0f", help="How many images of the reference these count like"),
                "spearman": number("Correlation", format="%.2f", help="Spearman, within the reference"),
                "partial": number("Given the strongest", format="%.2f"),
                "kind": text("This measure"),
            },
        )

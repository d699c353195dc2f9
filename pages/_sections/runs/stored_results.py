"""What the store holds, by encoder, output, method and precision, and deleting a part of it."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st

from jepa_core.config import hosted
from jepa_core.encoders.registry import list_encoders
from jepa_core.jobs import Job
from jepa_core.store import maintenance
from jepa_core.store.maintenance import Holding
from jepa_core.store.records import ResultConfig
from jepa_core.wording import in_bytes, lasting
from pages._sections.runs import store_copies
from pages._shared import resources
from pages._shared.text import counted, escaped


def encoder_name(config: ResultConfig) -> str:
    """The name of the encoder that a config is of."""
    known = (
        spec.name
        for spec in list_encoders().values()
        if (spec.weights_digest, spec.transform) == (config.weights, config.transform)
    )
    return next(known, f"not here ({config.weights[:8]})")


@st.cache_data(show_spinner=False, max_entries=4)
def _held(version: str) -> tuple[list[Holding], maintenance.Crops]:  # noqa: ARG001
    return maintenance.holdings(resources.store()), maintenance.crops(resources.store())


def show() -> None:
    """What is kept, by encoder, output, method and precision."""
    st.header("The store")
    held, crops = _held(maintenance.version(resources.store()))
    size = in_bytes(maintenance.size_on_disk(resources.store()))
    where = "" if hosted() else f" ({resources.store().path})"
    st.markdown(
        escaped(
            f"The store has {size} on disk{where}: {counted(sum(one.results for one in held), 'full score')}, "
            f"{counted(sum(one.estimates for one in held), 'estimate')}, and {counted(crops.count, 'picture')} "
            f"({in_bytes(crops.bytes)}) that pages have shown."
        )
    )
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    chosen = st.dataframe(
        pd.DataFrame(
            [
                {
                    "encoder": encoder_name(one.config),
                    "output": one.config.output,
                    "method": one.config.method.partition(":")[0],
                    "precision": one.config.precision,
                    "results": one.results,
                    "estimates": one.estimates,
                    "embeddings": one.embeddings,
                    "size": one.bytes / 1e6,
                }
                for one in held
            ]
        ),
        hide_index=True,
        height="content",
        key="held",
        **({} if hosted() else {"on_select": "rerun", "selection_mode": "multi-row"}),
        column_config={
            "encoder": text("Encoder", pinned=True),
            "output": text("Output"),
            "method": text("Method"),
            "precision": text("Precision"),
            "results": number("Full scores"),
            "estimates": number("Estimates"),
            "embeddings": number("Embeddings", help="Of this encoder and output, however they were scored"),
            "size": number("About MB", format="%.1f", help="What deleting this row would free"),
        },
    )
    if hosted():
        st.info("Deleting, copying and importing are for the owner of this server alone.", icon=":material/lock:")
        return
    rows = [held[row] for row in chosen["selection"]["rows"] if row < len(held)]
    _offer_delete(held, rows, crops)
    left, right = st.columns(2)
    with left, st.expander("Copy the store", icon=":material/download:"):
        store_copies.offer_export()
    with right, st.expander("Import a store", icon=":material/upload:"):
        store_copies.offer_import()


def _offer_delete(held: Sequence[Holding], rows: Sequence[Holding], crops: maintenance.Crops) -> None:
    with st.container(horizontal=True):
        asked = st.button(
            f"Delete {counted(len(rows), 'row')} …" if rows else "Delete …",
            icon=":material/delete:",
            disabled=not rows,
            help=None if rows else "Choose rows of the table first.",
        )
        asked_crops = st.button("Delete the pictures …", icon=":material/hide_image:", disabled=not crops.count)
    if asked:
        st.session_state["deleting"] = [one.config.key for one in rows]
    elif asked_crops:
        st.session_state["deleting"] = []
    deleting = st.session_state.get("deleting")
    if deleting is None:
        return
    going = [one for one in held if one.config.key in deleting]
    with st.container(border=True):
        confirmed = _confirm(going, crops)
    if confirmed is None:
        return
    del st.session_state["deleting"]
    if confirmed:
        work = partial(_delete, [one.config for one in going])
        resources.jobs().submit("upkeep:delete", "Deleting from the store", work, urgent=True)
    st.rerun()


def _confirm(going: Sequence[Holding], crops: maintenance.Crops) -> bool | None:
    """What would be lost, said before it is (the pictures, if no holding is); None before a button was pressed."""
    if not going:
        st.markdown(
            f"**Delete {counted(crops.count, 'picture')}?** Each is made again from its image when a page next shows "
            "it, if the image is still where it was."
        )
    for one in going:
        both = ((one.results, "full score"), (one.estimates, "estimate"))
        count = " and ".join(counted(number, noun) for number, noun in both if number)
        words = (
            f"{count} of encoder {encoder_name(one.config)}, output {one.config.output} ({one.config.precision}): "
            f"computing them took {lasting(one.seconds)}."
        )
        if maintenance.shipped_file(one.config):
            words += " Those that came with the explorer come back by themselves at its next start."
        st.markdown(f"**Delete?** {escaped(words)} What is missing is computed again when a page needs it.")
    with st.container(horizontal=True):
        if st.button("Delete", icon=":material/delete:", type="primary", key="delete-really"):
            return True
        return False if st.button("Keep", key="delete-keep") else None


def _delete(configs: Sequence[ResultConfig], _job: Job) -> int:
    if not configs:
        return maintenance.delete_crops(resources.store())
    return sum(maintenance.delete(resources.store(), config) for config in configs)

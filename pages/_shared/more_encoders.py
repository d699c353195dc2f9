"""The encoders that can be downloaded: what each is and costs, said before anything is fetched."""

import pandas as pd
import streamlit as st

from jepa_core import catalogue
from jepa_core.config import hosted
from jepa_core.encoders import default_device, get_spec, list_encoders, load_encoder
from jepa_core.errors import EncoderError, JepaError
from jepa_core.jobs import Job, State
from jepa_core.specs import EncoderSpec
from jepa_core.studies import lasting
from pages._shared import state, widgets
from pages._shared.text import plain

_BYTES = 4  # of a weight as published


def show() -> None:
    """The table, the facts of the chosen one, and its download."""
    st.subheader("More encoders")
    here = list_encoders()
    specs = [spec for spec in catalogue.specs() if spec.name not in here]
    st.markdown(
        "The encoders of the papers are not bundled; their weights come from their publishers. Pick one to see what it "
        "costs before anything is downloaded."
    )
    columns = st.column_config
    chosen = st.dataframe(
        pd.DataFrame(
            [
                {
                    "encoder": spec.name,
                    "family": f"{spec.family} (contrast)" if spec.contrast else spec.family,
                    "k": " / ".join(str(k) for k in spec.outputs.values()),
                    "size": spec.data_config["input_size"][-1],
                    "parameters": spec.parameters / 1e6,
                    "megabytes": spec.parameters * _BYTES / 1e6,
                    "licence": spec.licence,
                }
                for spec in specs
            ]
        ),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key="more",
        height=320,
        column_config={
            "encoder": columns.TextColumn("Encoder", pinned=True),
            "family": columns.TextColumn(
                "Family", help="Contrast: trained in another way than the paper's claim is about"
            ),
            "k": columns.TextColumn("K", help="How many numbers an output has"),
            "size": columns.NumberColumn("Input, px"),
            "parameters": columns.NumberColumn("Million weights", format="%.0f"),
            "megabytes": columns.NumberColumn("About MB", format="%.0f"),
            "licence": columns.TextColumn("Licence"),
        },
    )
    rows = chosen["selection"]["rows"]
    written = st.text_input(
        "Or write a name",
        key="more-name",
        placeholder="dinov2-s14@112, timm:vit_base_patch16_siglip_224.webli",
        help="A name of the table or timm:MODEL.TAG, each with @PX behind it for another input size.",
    )
    name = written.strip() or (specs[rows[0]].name if rows else "")
    if not name:
        return
    try:
        spec = get_spec(name)
    except JepaError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    _show_one(spec)


def _show_one(spec: EncoderSpec) -> None:
    if spec.name in list_encoders():
        st.success(f"{plain(spec.name)} is here: choose it in the sidebar.", icon=":material/check:")
        return
    facts = {
        spec.name: spec.description,
        "Paper": spec.paper,
        "Licence of the weights": spec.licence,
        "Architecture": f"{spec.architecture}, {spec.parameters / 1e6:.1f} million weights",
        "Outputs": ", ".join(f"{output} ({k} numbers)" for output, k in spec.outputs.items()),
    }
    if spec.contrast:
        facts["Outside of the family"] = "nothing in its training spreads the embeddings out; it is here to compare."
    for title, text in facts.items():
        st.markdown(f"**{plain(title)}**: {plain(text)}")
    forecast = _forecast(spec)
    if forecast:
        st.markdown(f"**A full score here** takes about {plain(forecast)} an image.")
    if hosted():
        st.info("This server downloads nothing for its visitors.", icon=":material/cloud_off:")
        return
    key = f"download:{spec.name}"
    job = state.jobs().get(key)
    if job is not None and job.state is State.FAILED:
        st.error(plain(job.message), icon=":material/error:")
    if (job is None or not job.active) and st.button(
        f"Download about {spec.parameters * _BYTES / 1e6:.0f} MB", icon=":material/download:", type="primary"
    ):
        job = state.jobs().submit(key, f"Downloading {spec.name}", lambda job: _download(job, spec.name), unit="MB")
    if job is not None and job.active:
        widgets.watch(job)


def _download(job: Job, name: str) -> None:
    def report(done: int, total: int) -> None:
        job.report(done // 10**6, max(1, total // 10**6))
        if job.cancelled():
            raise EncoderError("The download was stopped; what has arrived is kept, and it goes on from there.")

    load_encoder(name, progress=report)


def _forecast(spec: EncoderSpec) -> str:
    """Seconds of a full score, once asked for: the machine is measured for it."""
    key = f"forecast:{spec.name}"
    job = state.jobs().get(key)
    if job is None and st.button("How long would a score take here?", icon=":material/timer:"):
        job = state.jobs().submit(key, "Measuring this machine", lambda _job: _seconds(spec), urgent=True)
    if job is None:
        return ""
    if job.active:
        widgets.watch(job)
        return ""
    if job.state is State.FAILED:
        st.error(plain(job.message), icon=":material/error:")
        return ""
    return ", ".join(f"{lasting(seconds)} ({output})" for output, seconds in job.result.items())  # type: ignore[attr-defined]


def _seconds(spec: EncoderSpec) -> dict[str, float]:
    from jepa_core import forecast

    device = default_device()
    return {output: forecast.seconds_an_image(spec, output, device) for output in spec.outputs}

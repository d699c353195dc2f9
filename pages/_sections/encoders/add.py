"""The encoders that are not bundled: what each is and costs, said before its download, and weights of one's own."""

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from jepa_core.config import hosted
from jepa_core.encoders import catalog
from jepa_core.encoders.encoder import default_device
from jepa_core.encoders.registry import get_spec, list_encoders, load_encoder
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import EncoderError, JepaError
from jepa_core.jobs import Job, State
from jepa_core.redaction import told
from jepa_core.wording import lasting
from pages._shared import image_grid, jobs_ui, resources
from pages._shared.text import escaped

if TYPE_CHECKING:  # brings torch along, for which a page that only shows offers need not wait
    from jepa_core.encoders.cost import EncoderCost


def show() -> None:
    """The table, the facts of the chosen one, and its download."""
    st.header("More encoders")
    here = list_encoders()
    specs = [spec for spec in catalog.specs() if spec.name not in here]
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
                    "megabytes": spec.megabytes,
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
    if name:
        try:
            spec = get_spec(name)
        except JepaError as error:
            st.error(escaped(told(error)), icon=":material/error:")
        else:
            _show_one(spec)
    _show_own()


def _show_use(spec: EncoderSpec) -> None:
    """A way on from an encoder that has just come."""
    st.button(
        f"Choose {spec.name}, and a set for it on Data",
        icon=":material/arrow_forward:",
        key=f"use:{spec.name}",
        on_click=image_grid.open_link,
        args=(f"data?{urlencode({'encoder': spec.name, 'group': 'own'})}",),
    )


def _show_one(spec: EncoderSpec) -> None:
    if spec.name in list_encoders():
        st.success(f"{escaped(spec.name)} is here.", icon=":material/check:")
        _show_use(spec)
        return
    side = spec.data_config["input_size"][-1]
    facts = {
        spec.name: spec.description,
        "Paper": spec.paper,
        "Licence of the weights": spec.licence,
        "Architecture": f"{spec.architecture}, {spec.parameters / 1e6:.1f} million weights, input {side} x {side} px",
        "Outputs": ", ".join(f"{output} ({k} numbers)" for output, k in spec.outputs.items()),
        "Download": f"about {spec.megabytes:.0f} MB",
    }
    if spec.contrast:
        facts["Outside of the family"] = "nothing in its training spreads the embeddings out; it is here to compare."
    asked = resources.jobs().get(f"cost:{spec.name}")
    cost: EncoderCost | None = asked.result if asked is not None else None
    if cost:
        facts["Download"] = f"{cost.size} from {cost.origin}"
        facts["Access"] = cost.access
        facts["A full score here"] = ", ".join(
            f"about {lasting(seconds)} an image ({output})" for output, seconds in cost.seconds.items()
        )
    st.markdown("\n".join(f"- **{escaped(title)}**: {escaped(text)}" for title, text in facts.items() if text))
    if hosted():
        st.info("This server downloads nothing for its visitors.", icon=":material/cloud_off:")
    elif cost and cost.obtainable:
        _offer_download(spec, cost)
    else:
        _ask(spec, asked)


def _ask(spec: EncoderSpec, asked: Job | None) -> None:
    """Find out, when asked to, what is left to know before a download."""
    if asked is not None and asked.state is State.FAILED:
        st.error(escaped(asked.message), icon=":material/error:")
    if (asked is None or not asked.active) and st.button(
        "Ask again" if asked else "Ask its publisher, and time this machine",
        icon=":material/help:",
        type="primary",
        help="Says the exact size of the download, whether the weights are gated, and how long a score would take "
        "here. Nothing is downloaded yet.",
    ):
        asked = resources.jobs().submit(
            f"cost:{spec.name}", f"Asking for {spec.name}", lambda _job: _look(spec), urgent=True
        )
    if asked is not None and asked.active:
        jobs_ui.show_progress(asked)


def _look(spec: EncoderSpec) -> "EncoderCost":
    from jepa_core.encoders.cost import cost_of

    return cost_of(spec, default_device())


def _offer_download(spec: EncoderSpec, cost: "EncoderCost") -> None:
    key = f"download:{spec.name}"
    job = resources.jobs().get(key)
    if job is not None and job.state is State.FAILED:
        st.error(escaped(job.message), icon=":material/error:")
    if (job is None or not job.active) and st.button(
        f"Download {cost.size}", icon=":material/download:", type="primary"
    ):
        job = resources.jobs().submit(key, f"Downloading {spec.name}", lambda job: _download(job, spec.name), unit="MB")
    if job is not None and job.active:
        jobs_ui.show_progress(job)


def _download(job: Job, name: str) -> None:
    def report(done: int, total: int) -> None:
        job.report(done // 10**6, max(1, total // 10**6))
        if job.cancelled():
            raise EncoderError("The download was stopped; what has arrived is kept, and it goes on from there.")

    load_encoder(name, progress=report)


def _show_own() -> None:
    """Weights given by hand."""
    with st.expander("Weights of your own", icon=":material/folder_open:"):
        if hosted():
            st.info("This server loads no weights of its visitors.", icon=":material/cloud_off:")
            return
        st.markdown(
            "A safetensors file on this computer, a checkpoint of a training (a pickle of tensors and settings), or a "
            "folder in the layout of the hub's cache. It has to fit, and what is taken of it is said. Scores of other "
            "weights are kept apart: what counts is what is in the file, not its name."
        )
        with st.form("own-weights", border=False):
            like = st.text_input(
                "Architecture", key="own-like", placeholder="dinov2-s14, dinov2-s14@112, timm:vit_small_patch16_224"
            )
            weights = st.text_input("File or folder", key="own-weights-path", placeholder="/path/to/model.safetensors")
            name = st.text_input("Name for it", key="own-name", placeholder="mine")
            pressed = st.form_submit_button("Load", icon=":material/upload_file:", type="primary")
        like, weights, name = like.strip(), weights.strip(), name.strip()
        job = resources.jobs().get("own-weights")
        if pressed:
            job = resources.jobs().submit(
                "own-weights", f"Loading {name}", lambda _job: _add(name, like, weights), urgent=True
            )
        if job is not None and job.active:
            jobs_ui.show_progress(job)
        elif job is not None and job.state is State.FAILED:
            st.error(escaped(job.message), icon=":material/error:")
        elif job is not None and job.state is State.DONE:
            added: EncoderSpec = job.result
            st.success(f"{escaped(added.name)} is here. {escaped(added.description)}", icon=":material/check:")
            _show_use(added)


def _add(name: str, like: str, weights: str) -> EncoderSpec:
    from jepa_core.encoders import custom

    added = custom.add(name, like, weights).spec
    resources.encoder.cache_clear()  # it may hold another encoder that was added under this name
    return added

"""The encoder, the output and the method of scoring that are chosen in the sidebar of every page."""

from dataclasses import dataclass, field

import streamlit as st

from jepa_core.datasets.spec import DatasetSpec
from jepa_core.encoders.encoder import default_device
from jepa_core.encoders.registry import list_encoders
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.scoring import precision
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ALIASES, FIDELITY, METHODS, PRECISIONS, ScoringMethod
from jepa_core.store.records import ResultConfig
from pages._shared import resources, url_state


@dataclass(frozen=True)
class Choice:
    """What is being looked at: an encoder, one of its outputs, and the method of scoring that was asked for."""

    spec: EncoderSpec
    output: str
    method: ScoringMethod = field(default_factory=ScoringMethod)

    @property
    def encoder_output(self) -> EncoderOutput:
        """The encoder's output, not loaded."""
        return EncoderOutput(self.spec, self.output)

    @property
    def config(self) -> ResultConfig:
        """The config of its full float32 results."""
        return self.encoder_output.config()

    def method_for(self, dataset: DatasetSpec) -> ScoringMethod:
        """The method for a dataset, which may allow no other than the full one. Its precision may be open."""
        return self.method.for_dataset(dataset)


def choose_encoder() -> None:
    """The encoder and its output, in the sidebar of every page and in the address."""
    specs = list_encoders()
    asked = st.query_params.get("encoder")
    # An address of an earlier version has a name that is no option any more; Streamlit then takes the default.
    st.session_state.setdefault("default_method", ALIASES.get(st.query_params.get("method", ""), "exact"))
    with st.sidebar:
        first = next(iter(specs))
        url_state.adopt("encoder", first, list(specs))
        name = st.selectbox(
            "Encoder",
            list(specs),
            key="encoder",
            format_func=lambda name: specs[name].title,
            help="The network whose embedding is looked at. Scores of different encoders are not on one scale.",
        )
        url_state.publish("encoder", name, first)
        spec = specs[name]
        output = st.selectbox(
            "Output",
            list(spec.outputs),
            key="output",
            bind="query-params",
            help="Which tensor is scored. The theory holds where training made the embedding Gaussian: the projector.",
        )
        st.caption(f"{spec.description} Its {output} has {spec.outputs[output]} numbers.")
        method = _choose_method()
        if spec.known_failures:
            with st.expander("Known failures", icon=":material/warning:"):
                st.markdown("\n".join(f"- {sentence}" for sentence in spec.known_failures))
    st.session_state["choice"] = Choice(spec, output, method)
    if asked is not None and asked not in specs:
        url_state.warn_unknown("encoder", asked, name)


def _choose_method() -> ScoringMethod:
    with st.expander("How scores are made", icon=":material/tune:"):
        method = st.selectbox(
            "Method",
            list(METHODS),
            index=list(METHODS).index(st.session_state["default_method"]),
            key="method",
            bind="query-params",
            help="exact: a full score takes a product of the Jacobian for each number of the embedding. balanced: "
            "estimates by forward passes, some full scores and as many products as gain something, until they order "
            f"images like full scores do (Spearman {FIDELITY}). quick: a quick look, one forward pass an image and few "
            "full scores. Each estimate says how far off it may be.",
        )
        chosen = st.selectbox(
            "Precision",
            PRECISIONS,
            key="precision",
            bind="query-params",
            help="Of the products. fp32: float32. bf16: bfloat16, faster and rounder. tf32: TensorFloat-32, on CUDA. "
            "auto: bf16 where it was timed to be faster on this machine and ranks some images of the dataset like fp32 "
            "does, else fp32.",
        )
        # To ask for the device imports torch, for which the first page shall not wait.
        if chosen == "bf16" and (slow := precision.slow_in_words(chosen, default_device())):
            st.caption(f"Precision: {slow}.")
    return ScoringMethod.named(method, chosen)


def preload_encoder() -> None:
    """Load the chosen encoder in the background once the page is shown, so that the first computation need not wait."""
    name = current_choice().spec.name
    key = f"warm-up:{name}"
    if resources.jobs().get(key) is None:
        resources.jobs().submit(key, f"Loading encoder {name}", lambda _job: resources.load_for_good(name), urgent=True)


def current_choice() -> Choice:
    """The encoder and output chosen in the sidebar."""
    return st.session_state["choice"]

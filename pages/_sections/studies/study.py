"""What is studied: a figure of the paper, the encoders, and how their scores are made."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from jepa_core.datasets import registry
from jepa_core.datasets.spec import DatasetSpec
from pages._shared import layout
from pages._shared.choice import Choice
from pages._shared.text import escaped


@dataclass(frozen=True)
class Study:
    """A figure ("1", "3" or "7") of encoders, each with the output that the sidebar names where it has one."""

    figure: str
    encoders: tuple[Choice, ...]
    chosen: Choice  # in the sidebar


def encoder_header(encoder: Choice, *, scored: bool) -> None:
    """The heading of one encoder's part of a figure, and that it has no scores if it has none."""
    st.header(escaped(f"{encoder.spec.name}, {encoder.output}"))
    if not scored:
        st.info("This encoder has no scores of these images.", icon=":material/visibility_off:")


def show_command(study: Study, datasets: Sequence[DatasetSpec], label: str | None = None) -> None:
    """How a terminal makes the figure that is shown."""
    figure, method = f"figure{study.figure}", study.chosen.method
    words = ["python", "-m", "jepa_core", figure]
    for encoder in study.encoders:
        words += ["--encoder", encoder.spec.name]
    if any(encoder.output != encoder.spec.default_output for encoder in study.encoders):
        words += ["--output", study.chosen.output]
    words += ["--data", *(dataset.name.removeprefix(registry.FOLDER_PREFIX) for dataset in datasets)]
    words += ["--class", label] if label else []
    words += ["--method", method.title_key] if method.name != "exact" else []
    words += ["--precision", method.precision] if method.precision != "fp32" else []
    words += ["--out", f"{figure}.{'html' if study.figure == '3' else 'png'}"]
    st.caption("The same from a terminal:")
    layout.code(shlex.join(words))

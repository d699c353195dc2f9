"""Where an image and its score come from: the file, how the score was computed, and how to compute it again."""

import streamlit as st

from jepa_core.errors import JepaError
from jepa_core.explain import image as explain_image
from jepa_core.scoring import looks
from pages._sections.image import facts, original
from pages._sections.image.explanation import ViewedImage
from pages._sections.image.facts import Fact
from pages._shared import layout, resources
from pages._shared.text import counted


def show(one: ViewedImage) -> None:
    """The last sections of the Image page."""
    left, right = st.columns(2, gap="medium")
    with left:
        st.header("The file")
        facts.show(_file_facts(one), lines=True)
    with right:
        st.header("How this was computed")
        facts.show(_made_facts(one), lines=True)
    again = explain_image.again(one.choice.spec, one.choice.output, one.dataset, one.row, one.method.decided)
    st.markdown("**Compute it again** from a terminal; nothing is read from the store:")
    if one.dataset.listed:
        st.caption("This needs the pictures: put the folder that holds them in place of FOLDER.")
    layout.code(again.command)
    if again.python:
        st.markdown("or from Python:")
        layout.code(again.python)


def _file_facts(one: ViewedImage) -> list[Fact]:
    row, dataset = one.row, one.dataset
    shown = [Fact("Name", row["name"]), Fact("Class", row["label"]), Fact("Dataset", dataset.title)]
    try:
        found = original.read(dataset, one.member)
    except JepaError:  # said above, in place of the picture
        pass
    else:
        size = f"{found.width} x {found.height} px, {counted(found.size, 'byte')}"
        shown += [Fact("Size", size, " ".join(found.notes)), Fact("Format", found.format)]
    return [*shown, Fact("SHA-256", row["digest"]), Fact("Licence", dataset.licence)]


def _made_facts(one: ViewedImage) -> list[Fact]:
    spec, row = one.choice.spec, one.row
    k, config = spec.outputs[one.choice.output], spec.data_config
    channels, height, width = config["input_size"]
    transform = (
        f"{width} x {height} px, {'grey' if channels == 1 else 'RGB'}, {config['interpolation']}, "
        f"crop {config['crop_mode']} {config['crop_pct']}"
    )
    normalised = f"mean {config['mean']}, standard deviation {config['std']}"
    rows = looks.progressed(resources.store(), one.choice.encoder_output, one.method.decided, one.dataset.name).rows
    method = (
        f"estimated by a forward pass and {rows} of {k} products" if row["estimated"] else f"exact, all {k} products"
    )
    return [
        Fact("Encoder", f"{spec.name} ({spec.family})", f"weights {spec.weights_digest}"),
        Fact("Transform", transform, normalised),
        Fact("Output", f"{one.choice.output}, {k} numbers"),
        Fact("Rank", str(one.rank.rank), one.rank.reason),
        Fact("Method", method),
        Fact("Precision", one.method.decided),
        Fact("Computed on", f"{row['device']}, in {row['seconds']:.2g} s"),
    ]

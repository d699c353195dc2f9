"""The one image that the Image page looks at, and its sections that say why it has its score."""

from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st

from jepa_core import images
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.explain import attribution
from jepa_core.explain import image as explain_image
from jepa_core.explain.directions import Directions, leverage_in_words
from jepa_core.explain.image import Place
from jepa_core.figures.singular_vectors import heatmap_picture, overlay_heatmap
from jepa_core.figures.spectrum import attribution_figure, spectrum_figure
from jepa_core.figures.style import CONFIG
from jepa_core.jacobian.spectrum import Rank
from jepa_core.jobs import Job
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod
from jepa_core.scoring.run import RunSummary, ScoringRun
from jepa_core.store.crops import scored_crop
from jepa_core.store.records import Member
from pages._shared import image_grid, jacobian_jobs, jobs_ui, reference_sets, resources
from pages._shared.choice import Choice
from pages._shared.errors import fragment
from pages._shared.image_grid import Card, data_address
from pages._shared.text import escaped

SHOWN = 320  # pixels of a leverage map


@dataclass(frozen=True, eq=False)
class ViewedImage:
    """An image of a dataset, its row of the score table, and how its score was made."""

    choice: Choice
    dataset: DatasetSpec
    label: str | None  # of the class it is ranked in
    row: pd.Series
    place: Place
    count: int  # images it is ranked among
    method: ScoringMethod
    rank: Rank
    reference: DatasetSpec | None  # the encoder's own, where it has scores

    @property
    def member(self) -> Member:
        """Its place in the dataset."""
        return jacobian_jobs.member_of(self.row)

    @property
    def among(self) -> str:
        """What it is ranked among, in words."""
        return self.dataset.class_title(self.label) if self.label else self.dataset.title


def show_spectrum(one: ViewedImage) -> None:
    """The spectrum beside the reference's, and the score taken apart."""
    config = one.choice.encoder_output.config(one.method.decided)
    result = None if one.row["estimated"] else resources.store().get(config, one.row["digest"])
    band = reference_sets.spread(one.choice, one.dataset)
    attributed = attribution.attribute(result.spectrum, band) if result and band else None
    end = "unlikely" if attributed and attributed.total < 0 else "likely"
    plainly = attributed is None or attributed.run is None  # nothing to explain, or nothing to explain it by
    st.header("How do its singular values compare?" if plainly else f"Which singular values make it {end}?")
    if result is None:
        _score_fully(one, config.key)
        return
    sigma, rank = result.spectrum, one.rank.rank
    if band is None or attributed is None:
        st.info(
            f"Fewer than {explain_image.LEAST_SPREAD} images here have full scores, "
            "too few to say which singular values are "
            "unusual. Choose a larger dataset.",
            icon=":material/stacked_line_chart:",
        )
        st.plotly_chart(spectrum_figure(sigma, rank), config=CONFIG, alt="Its singular values on a log axis")
        return
    words = attribution.in_words(attributed, band)
    st.markdown(escaped(words))
    left, right = st.columns(2, gap="medium")
    with left:
        st.plotly_chart(
            spectrum_figure(sigma, rank, band=band),
            config=CONFIG,
            alt=f"Singular values of this image, from {sigma[0]:.3g} to {sigma[rank - 1]:.3g}, in front of the band of "
            f"{band.size} images of {band.name}",
        )
        st.caption("Its singular values, largest first, and where those of the reference lie.")
    with right:
        st.plotly_chart(attribution_figure(attributed), config=CONFIG, alt=words)
        st.caption(
            "Each log singular value minus the reference's median, and their sum from the first on: where the line "
            "falls, the image loses score."
            + (" The shaded directions hold half of the difference." if attributed.run else "")
        )


def _score_fully(one: ViewedImage, config: str) -> None:
    """An estimate has no spectrum; a person may ask for the full score."""
    st.info(
        "This score is an estimate, made without the full spectrum, so it cannot be taken apart yet.",
        icon=":material/functions:",
    )

    def work(job: Job) -> RunSummary:
        output = EncoderOutput.of(resources.encoder(one.choice.spec.name), one.choice.output)
        run = ScoringRun.of_dataset(
            resources.store(), output, one.dataset, one.method, progress=job.report, cancelled=job.cancelled
        )
        return run.restricted_to({one.row["name"]}).score()

    key = f"full:{config}:{one.row['digest']}"
    job = jobs_ui.finished_job(key, "Scoring this image fully", work, ask="Score it fully")
    if job and isinstance(job.result, RunSummary):
        for _name, sentence in job.result.failed:
            st.error(escaped(sentence), icon=":material/error:")
        if not job.result.failed:
            st.rerun()


def show_leverage(one: ViewedImage) -> None:
    """Which pixels the score hangs on."""
    st.header("Which pixels does the score hang on?")
    st.markdown(
        "The brighter a pixel, the more the score would change if the encoder reacted a little more strongly to it. "
        "This is a sensitivity, not a cause."
    )
    if one.dataset.listed:
        st.info("The map needs the picture itself, which is not here.", icon=":material/visibility_off:")
        return
    found = jacobian_jobs.directions(one.choice, one.dataset, one.row, ask=True)
    if found:
        _leverage_map(one, found)


@fragment
def _leverage_map(one: ViewedImage, found: Directions) -> None:
    values, name = found.leverage, one.row["name"]
    crop = images.rgb_array(scored_crop(resources.store(), one.choice.config.transform, one.dataset, one.member))
    opacity = st.session_state.get("opacity", 60)
    mixed = images.array_png(overlay_heatmap(crop, values, opacity / 100), SHOWN)
    alone = images.array_png(heatmap_picture(values), SHOWN)
    most, total = leverage_in_words(values, one.rank.rank)
    image_grid.grid(
        [
            Card(data_address(mixed), "", "On the picture", (), f"Leverage map of {name} laid on the picture"),
            Card(data_address(alone), "", "Leverage map", (most, total), f"Leverage map of {name}: {most}, {total}"),
        ],
        key="leverage",
        label="Leverage map",
        large=True,
    )
    st.slider("Opacity of the map", 0, 100, 60, step=10, format="%d %%", key="opacity", width=400)


def show_neighbours(one: ViewedImage) -> None:
    """The nearest images in the embedding, of the reference and of what the encoder learned from."""
    st.header("Nearest in the embedding")
    training = reference_sets.scored_set(one.choice.spec.training, one.choice)
    _show_near(one, one.reference or one.dataset, "the reference" if one.reference else "this dataset")
    if training and not training.listed and (one.reference is None or training.name != one.reference.name):
        _show_near(one, training, "what the encoder was trained on")


def _show_near(one: ViewedImage, among: DatasetSpec, what: str) -> None:
    st.caption(escaped(f"In {among.title}, {what}:"))
    rows = reference_sets.neighbours(one.choice, among, one.row["digest"])
    if rows.empty:
        st.info("There is no other scored image here.", icon=":material/scatter_plot:")
        return
    image_grid.grid(
        [
            replace(card, aside=(f"distance {distance:.2f}", *card.aside))
            for card, distance in zip(image_grid.cards(one.choice, among, rows), rows["distance"], strict=True)
        ],
        key=f"near:{what}",
        label=f"Nearest in {among.title}, {what}",
    )

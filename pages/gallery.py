"""Gallery: images by their score. Both ends of a class, all of it in order, a selection, and what to review."""

from dataclasses import replace

import streamlit as st

from jepa_core import wording
from jepa_core.analysis import curation
from jepa_core.figures.histogram import class_histogram, class_histogram_in_words
from jepa_core.figures.style import CONFIG
from jepa_core.scoring import rank_findings
from pages._sections.gallery import at_sight, classes, score_range, selection, to_review
from pages._shared import image_grid, layout, resources, score_tables, scoring_job, url_state
from pages._shared.choice import current_choice
from pages._shared.text import counted, escaped

PER_ROW = 8
SHEET = 60  # pictures of a page of all images

layout.header(
    "Gallery",
    "Which images does the encoder find likely, and which unlikely?",
    """**What you see.** A self-supervised encoder turns an image into a list of numbers. Where it has seen many similar
images it reacts strongly to small changes of the picture, elsewhere weakly. The **JEPA-SCORE** measures that reaction:
the sum of the logarithms of the singular values of the encoder's Jacobian. The paper that proposed it says that a high
score means a *likely* image.

**P2** on a picture is its percentile: 2 means that 98 % of the images of the same set and class have a higher score.

**Choose scores** by drawing over the histogram, or with the slider. **Click** a picture to see what is behind its
score. With the keyboard: arrow keys move between pictures, Enter opens one, **x** or space adds it to your selection,
**N** and **P** turn the pages.

**Estimates.** With *quick look* and *balanced* (sidebar) most scores are estimates, marked with ≈ and their 90 %
interval. They stand after one forward pass over the images and grow sharper. An image whose interval reaches into the
ends shown here is scored fully before the order there is final.

**Read it with care.** The score has no unit, differs between encoders, and smooth or simple images can look likely. The
Domains page shows where it fails. Pictures are ranked by the score alone, as the paper proposes; on points whose true
density is known (Theory), the score with its Gaussian term follows the truth far better. Image shows both.

Source: [arXiv 2510.05949](https://arxiv.org/abs/2510.05949).""",
    picture="gallery",
)
choice = current_choice()
chosen = scoring_job.choose_scored_dataset(choice)
dataset, table = chosen.dataset, chosen.ranked
scores = table["jepa_score"].to_numpy()
title = f"{dataset.class_title(chosen.label)} of {dataset.title}" if chosen.label else dataset.title
if len(table) == 1:
    st.info("There is one image here, so nothing to rank it against.", icon=":material/info:")
    cards = image_grid.cards(choice, dataset, table, chosen.label)
    image_grid.grid([replace(card, aside=(), badge="") for card in cards], key="only")
    st.stop()
end = min(PER_ROW, len(table) // 2)
shown_scores = f"{choice.config.key} {dataset.name}"


def select_range() -> None:
    found = curation.brushed(st.session_state["histogram"]["selection"])
    score_range.set_range(found)
    st.session_state["brushed"] = st.session_state["range"]
    if found:
        st.session_state["show"] = "order"  # all that was brushed, and not its ends alone


with st.container(key="scores"):  # on a phone it stands below the pictures (assets/theme.css)
    st.header(escaped(f"Scores of {title}"))
    drawn, beside = st.columns([3, 2], vertical_alignment="center", gap="medium")
    with beside:
        limits = score_range.choose_range(scores, shown_scores)
        if limits is None:
            st.caption(escaped(f"The {len(table)} images of {title}. Draw over the histogram to choose scores."))
            st.caption(escaped(dataset.description))
        else:
            inside = len(curation.within(table, *limits))
            words = f"{counted(inside, 'image')} of {len(table)} with scores from {limits[0]:.1f} to {limits[1]:.1f}."
            st.button("All scores", icon=":material/close:", on_click=score_range.set_range, args=(None,))
            st.caption(escaped(words))
    with drawn:
        low, high = table["jepa_score"].iloc[end - 1], table["jepa_score"].iloc[-end]
        # A figure that changed would lose the box that was drawn over it, so it shows only what was chosen otherwise.
        by_hand = limits if st.session_state["range"] != st.session_state.get("brushed") else None
        st.plotly_chart(
            class_histogram(scores, chosen.scores["jepa_score"].to_numpy(), title, low, high, by_hand),
            config=CONFIG,
            key="histogram",
            on_select=select_range,
            selection_mode="box",
            alt=f"{class_histogram_in_words(scores, title)}. The slider beside it also chooses scores.",
        )
shown = table if limits is None else curation.within(table, *limits)


def show_ends() -> None:
    few = min(PER_ROW, max(1, len(shown) // 2))
    if limits is None:
        scoring_job.verify_extremes(choice, chosen, end)
    with beside:
        at_sight.show(choice, dataset, shown.iloc[:few], shown.iloc[::-1].iloc[:few])
    st.header("Least likely")
    image_grid.grid(
        image_grid.cards(choice, dataset, shown.iloc[:few], chosen.label), "unlikely", key="least", label="Least likely"
    )
    place = wording.percentile(shown["percentile"].iloc[0])
    st.caption(
        escaped(
            f"P{place} on the first picture is its percentile: about {place} % of the images of {title} score as low."
        )
    )
    st.header("Most likely")
    image_grid.grid(
        image_grid.cards(choice, dataset, shown.iloc[::-1].iloc[:few], chosen.label),
        "likely",
        key="most",
        label="Most likely",
    )
    left, right = st.columns([5, 1], vertical_alignment="bottom")
    left.header("Random")
    seed = st.session_state.setdefault("shuffle", 0)
    if right.button("Shuffle", icon=":material/shuffle:", width="stretch"):
        seed = st.session_state["shuffle"] = seed + 1
    rows = curation.random_rows(shown, few, seed)
    image_grid.grid(image_grid.cards(choice, dataset, rows, chosen.label), key="random", label="Random images")


def show_order() -> None:
    directions = {"rising": "Least likely first", "falling": "Most likely first"}
    order = url_state.choose_one("Order", directions, "rising", "order")
    rows = shown if order == "rising" else shown.iloc[::-1]
    place = score_range.choose_sheet(len(rows), SHEET, "part", f"{shown_scores} {chosen.label} {order} {limits}")
    part = rows.iloc[place]
    st.caption(
        f"Images {place.start + 1} to {place.stop} of {len(rows)}, scores {part['jepa_score'].iloc[0]:.1f} to "
        f"{part['jepa_score'].iloc[-1]:.1f}"
    )
    cards = image_grid.cards(choice, dataset, part, chosen.label)
    image_grid.grid(cards, key="order", label=f"Images {place.start + 1} to {place.stop} in order of their score")


def show_pictures() -> None:
    """The view that is chosen of the pictures."""
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        views = {"ends": "Ends", "order": "In order", "selection": "Selection", "curate": "To review"}
        view = url_state.choose_one("Show", views, "ends", "show")
    if picked := len(image_grid.picked()):
        right.caption(f"{counted(picked, 'image')} selected", text_alignment="right")
    if limits is not None and view in ("selection", "curate"):
        st.caption("The chosen range of scores is for Ends and In order; here it changes nothing.")
    if view == "selection":
        selection.show(choice, dataset)
    elif view == "curate":
        to_review.show(choice, chosen)
    elif shown.empty:
        st.info("No image has a score in this range: choose a wider one.", icon=":material/filter_alt_off:")
    elif view == "order":
        show_order()
    else:
        with st.container(key="ends"):
            show_ends()


if dataset.listed:
    classes.show(dataset, shown)
else:
    show_pictures()

flagged = int(table["rank_disagrees"].sum())
note = f" {flagged} of them have a spectrum that does not fit the encoder's rank; compare them with care."
found = rank_findings.finding(resources.store(), choice.encoder_output)
st.caption(
    f"{counted(len(table), 'image')}, median {table['jepa_score'].median():.1f}. The coloured ends of the histogram "
    f"are the {counted(end, 'image')} of each end. Encoder {choice.spec.name}, output {choice.output}. "
    f"{escaped(score_tables.provenance_in_words(choice, dataset, table))}{note if flagged else ''} {escaped(found)}"
)

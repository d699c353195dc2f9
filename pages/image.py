"""Image: one image in detail: its score, what made it, which pixels it hangs on, and what is near it."""

from dataclasses import replace

import streamlit as st

from jepa_core.analysis.percentiles import places_in_sets
from jepa_core.errors import JepaError
from jepa_core.explain import image as explain_image
from pages._sections.image import explanation, facts, original, provenance
from pages._sections.image.explanation import ViewedImage
from pages._sections.image.facts import Fact
from pages._shared import image_grid, layout, reference_sets, score_tables, scoring_job
from pages._shared.choice import current_choice
from pages._shared.image_grid import Card
from pages._shared.text import counted, escaped, rank_in_words

layout.header(
    "Image",
    "One image in detail: how likely it is, and why.",
    """**Score.** The sum of the logarithms of the singular values of the encoder's Jacobian at this image. It has no
unit; read the percentiles. **With Gaussian term**, half of the embedding's squared length is taken off, as the exact
formula has it. The **listing score** follows the code printed in the paper, which counts rounding noise beyond the
rank.

**Which singular values.** Each singular value says how far the embedding moves for one kind of small change of the
picture. The grey band is where those of the reference lie; where the line leaves it, this image is unusual.

**Leverage map.** How much the score hangs on each pixel: how it would change if the encoder reacted a little more
strongly to that pixel and nothing else changed. It is a sensitivity, not a cause: it does not say that what is seen
there makes the image likely or unlikely.

**Neighbours** are the images whose embeddings lie nearest.""",
    picture="image",
)
choice = current_choice()
chosen = scoring_job.choose_scored_dataset(choice)
dataset, table = chosen.dataset, chosen.ranked.reset_index(drop=True)


def go_to(digest: str) -> None:
    st.query_params["image"] = digest


def open_class(label: str) -> None:
    st.session_state["class"] = st.session_state["kept:class"] = label


def say_not_here(digest: str) -> None:
    """The page for an address whose image is not among those that are chosen."""
    elsewhere = chosen.scores.loc[chosen.scores["digest"] == digest, "label"]
    if len(elsewhere):
        label = elsewhere.iloc[0]
        its, other = dataset.class_title(label), dataset.class_title(chosen.label or "")
        st.info(escaped(f"This image is of {its}; {other} is chosen."), icon=":material/category:")
        st.button(escaped(f"Go to {its}"), on_click=open_class, args=(label,), icon=":material/arrow_forward:")
    else:
        why = "Its score may still be on its way." if chosen.running else "It may be in another dataset or folder."
        sentence = f"No scored image of {dataset.title} has the digest {digest[:12]!r}. {why}"
        st.warning(escaped(sentence), icon=":material/link_off:")
    first = table["digest"].iloc[0]
    st.button("Show the least likely image here", on_click=go_to, args=(first,), icon=":material/image:")
    st.stop()


def find_image() -> ViewedImage:
    """The image of the address, else the one looked at before, else the least likely."""
    asked = st.query_params.get("image", "")
    place = explain_image.place(table, asked)
    if asked and place is None:
        say_not_here(asked)
    kept = st.session_state.get("kept:image", "")
    place = place or explain_image.place(table, kept) or explain_image.Place(0, "", "")
    row = table.iloc[place.position]
    st.session_state["kept:image"] = row["digest"]
    if asked != row["digest"]:
        go_to(row["digest"])
    return ViewedImage(
        choice=choice,
        dataset=dataset,
        label=chosen.label,
        row=row,
        place=explain_image.place(table, row["digest"]) or place,
        count=len(table),
        method=score_tables.resolved_method(choice, dataset),
        rank=choice.encoder_output.rank,
        reference=reference_sets.scored_set(choice.spec.reference, choice),
    )


def show_navigation(one: ViewedImage) -> None:
    """The images before and after it by score, and the other pages on the same choice."""
    ways = (
        ("Less likely", "chevron_left", "J", one.place.before),
        ("More likely", "chevron_right", "K", one.place.after),
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        for label, icon, key, other in ways:
            st.button(label, icon=f":material/{icon}:", shortcut=key, disabled=not other, on_click=go_to, args=(other,))
        st.markdown(escaped(f"{one.place.position + 1} of {one.count} by score in {one.among}"), width="content")
        st.space("stretch")
        if not dataset.listed:
            st.page_link(
                "pages/directions.py",
                label="Its directions",
                icon=":material/explore:",
                query_params={"image": one.row["digest"]},
            )
        st.page_link("pages/gallery.py", label="Gallery", icon=":material/grid_view:")


def picture_cards(one: ViewedImage) -> list[Card]:
    """The original and the crop that was scored."""
    name = one.row["name"]
    [crop] = image_grid.cards(choice, dataset, table.iloc[[one.place.position]], chosen.label)
    crop = replace(crop, link="", title="Scored crop", badge="", aside=("what the encoder saw",))
    try:
        found = original.read(dataset, one.member)
    except JepaError as error:
        return [Card("", str(error), "Original", (), f"{name} cannot be shown"), crop]
    aside = (f"{found.width} x {found.height} px",)
    return [
        Card(found.source, "", "Original", aside, f"{name}, {dataset.class_title(one.row['label'])}, as it was given"),
        crop,
    ]


def score_facts(one: ViewedImage) -> list[Fact]:
    """The variants of the score, and its percentiles."""
    row = one.row
    about = "≈ " if row["estimated"] else ""
    interval = f"90 % interval {row['low']:.1f} to {row['high']:.1f}" if row["estimated"] else ""
    same = "the same: it has no noise" if abs(row["listing_score"] - row["jepa_score"]) < 0.005 else "counts noise, too"
    listing = ("none", "needs the full spectrum") if row["estimated"] else (f"{row['listing_score']:.2f}", same)
    shown = [
        Fact("JEPA-SCORE", f"{about}{row['jepa_score']:.2f}", interval),
        Fact("with Gaussian term", f"{about}{row['gaussian_score']:.2f}", f"takes off {row['squared_norm'] / 2:.2f}"),
        Fact("listing score", *listing),
    ]
    everything, sets = chosen.scores, {}
    if len(dataset.labels()) > 1:
        of_class = everything["label"] == row["label"]
        sets[dataset.class_title(row["label"])] = everything[of_class]
    sets[dataset.title] = everything
    if one.reference:
        sets[one.reference.title] = score_tables.scores(choice, one.reference)
    for name, found in places_in_sets(row["jepa_score"], sets).items():
        interval = f"{found.low:.1f} to {found.high:.1f} (90 %), {counted(found.size, 'image')}"
        shown.append(Fact(f"percentile in {name}", f"{found.percentile:.1f}", interval))
    return shown


one = find_image()
show_navigation(one)
left, right = st.columns([4, 3], gap="medium")
with left:
    if dataset.listed:
        st.markdown("Its picture is not here; what is stored of it is its spectrum and its embedding.")
    else:
        image_grid.grid(picture_cards(one), key="picture", label="The image", large=True)
    if not dataset.listed and st.button("Enlarge the original", icon=":material/open_in_full:", type="tertiary"):
        original.enlarge(dataset, one.member)
with right:
    if one.count > 1:
        st.markdown(f"### {rank_in_words(one.row['percentile'], one.place.position, one.count, escaped(one.among))}")
    facts.show(score_facts(one))
    if one.row["rank_disagrees"]:
        st.warning("Its spectrum does not fit the encoder's rank; compare it with care.", icon=":material/warning:")
explanation.show_spectrum(one)
explanation.show_leverage(one)
explanation.show_neighbours(one)
provenance.show(one)

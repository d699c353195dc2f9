"""Image: one image in detail: its score, what made it, which pixels it hangs on, and what is near it."""

from dataclasses import replace

import streamlit as st

from jepa_core import detail, images, shortfall
from jepa_core.directions import Directions
from jepa_core.errors import JepaError
from jepa_core.figures.spectrum import parts_figure, spectrum_figure
from jepa_core.figures.style import CONFIG
from jepa_core.figures.vectors import heat_picture, overlay
from jepa_core.pictures import scored_crop
from jepa_core.reference import Reference
from jepa_core.scoring import config_of, current_rank, score_items
from pages._shared import compared, facts, jacobians, original, pictures, state, widgets
from pages._shared.facts import Fact
from pages._shared.text import counted, plain, standing

SHOWN = 320  # pixels of a leverage map

widgets.header(
    "Image",
    "One image in detail: how likely it is, and why.",
    """**Score.** The sum of the logarithms of the singular values of the encoder's Jacobian at this image. It has no unit;
read the percentiles. **With Gaussian term** half of the embedding's squared length is taken off, as the exact formula
has it. The **listing score** follows the code printed in the paper, which counts rounding noise beyond the rank.

**Which singular values.** Each singular value says how far the embedding moves for one kind of small change of the
picture. The grey band is where those of the reference lie; where the line falls out of it, this image is unusual.

**Leverage map.** How much the score hangs on each pixel: how it would change if the encoder reacted a little more
strongly to that pixel and nothing else changed. It is a sensitivity, not a cause: it does not say that the object there
made the image likely or unlikely.

**Neighbours** are the images whose embeddings lie nearest.""",
)
choice = state.choice()
chosen = widgets.choose_scored(choice)
dataset, table = chosen.dataset, chosen.table.reset_index(drop=True)


def go_to(digest: str) -> None:
    st.query_params["image"] = digest


def open_class(label: str) -> None:
    st.session_state["class"] = st.session_state["kept:class"] = label


def not_here(digest: str) -> None:
    """A designed end for an address whose image is not among those chosen."""
    elsewhere = chosen.everything.loc[chosen.everything["digest"] == digest, "label"]
    if len(elsewhere):
        label = elsewhere.iloc[0]
        st.info(
            plain(f"This image is of class {label}, and class {chosen.label} is chosen."), icon=":material/category:"
        )
        st.button(plain(f"Go to class {label}"), on_click=open_class, args=(label,), icon=":material/arrow_forward:")
    else:
        st.warning(
            plain(
                f"No scored image of {dataset.title} has the digest {digest[:12]!r}. It may be in another dataset or "
                f"folder, its file may have changed, or {'its score may still be on its way' if chosen.running else 'it could not be read'}."
            ),
            icon=":material/link_off:",
        )
    st.button(
        "Show the least likely image here", on_click=go_to, args=(table["digest"].iloc[0],), icon=":material/image:"
    )
    st.stop()


digest = st.query_params.get("image") or st.session_state.get("kept:image", "")
place = detail.place(table, digest)
if place is None and "image" in st.query_params:
    not_here(digest)
if place is None:
    digest = table["digest"].iloc[0]
    place = detail.place(table, digest)
st.session_state["kept:image"] = digest
if st.query_params.get("image") != digest:
    go_to(digest)
row = table.iloc[place.position]
member = jacobians.member(row)
way = state.settled_way(choice, dataset)
rank = current_rank(choice.spec, choice.output, state.store())
about = "≈ " if row["estimated"] else ""


# --- where one is, and the way on -------------------------------------------------------------------------------------

with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
    st.button(
        "Less likely",
        icon=":material/chevron_left:",
        shortcut="J",
        disabled=not place.before,
        on_click=go_to,
        args=(place.before,),
    )
    of = (chosen.label and f"class {chosen.label}") or dataset.title
    st.markdown(plain(f"{place.position + 1} of {len(table)} by score in {of}"), width="content")
    st.button(
        "More likely",
        icon=":material/chevron_right:",
        icon_position="right",
        shortcut="K",
        disabled=not place.after,
        on_click=go_to,
        args=(place.after,),
    )
    with st.container(horizontal=True, width="content"):
        st.page_link(
            "pages/directions.py", label="Its directions", icon=":material/explore:", query_params={"image": digest}
        )
        st.page_link("pages/gallery.py", label="Gallery", icon=":material/grid_view:")


# --- the picture and its score ----------------------------------------------------------------------------------------


def picture_cards() -> list[pictures.Card]:
    [crop] = pictures.cards(choice, dataset, table.iloc[[place.position]], chosen.label)
    crop = replace(crop, link="", title="Scored crop", aside=("what the encoder saw",))
    try:
        found = original.read(dataset, member)
    except JepaError as error:
        problem = "not bundled" if dataset.listed else str(error)
        return [pictures.Card("", problem, "Original", (), f"{row['name']} cannot be shown"), crop]
    aside = (f"{found.width} x {found.height} px",)
    return [pictures.Card(found.source, "", "Original", aside, f"{row['name']}, class {row['label']}, as given"), crop]


def score_facts() -> list[Fact]:
    interval = f"90 % interval {row['low']:.1f} to {row['high']:.1f}" if row["estimated"] else ""
    shown = [
        Fact("JEPA-SCORE", f"{about}{row['jepa_score']:.2f}", interval),
        Fact("with Gaussian term", f"{about}{row['gaussian_score']:.2f}", f"takes off {row['squared_norm'] / 2:.2f}"),
        Fact(
            "listing score",
            "none" if row["estimated"] else f"{row['listing_score']:.2f}",
            "needs the full spectrum" if row["estimated"] else "",
        ),
    ]
    if len(table) > 1:
        shown.append(Fact(f"percentile in {of}", f"{row['percentile']:.1f}", f"of {counted(len(table), 'image')}"))
    if reference:
        scores = state.scores(choice, reference)["jepa_score"].to_numpy()
        found = Reference(reference.title, scores).place(row["jepa_score"])
        shown.append(
            Fact(
                "percentile in the reference",
                f"{found.percentile:.1f}",
                f"{found.low:.1f} to {found.high:.1f} (90 %), {found.size} images of {reference.title}",
            )
        )
    return shown


reference = compared.known_set(choice.spec.reference, choice)
left, right = st.columns([1, 1], gap="medium")
with left:
    pictures.grid(picture_cards(), large=True)
    if not dataset.listed and st.button("Enlarge the original", icon=":material/open_in_full:", type="tertiary"):
        original.enlarge(dataset, member)
with right:
    if len(table) > 1:
        st.markdown(f"##### {standing(row['percentile'], place.position, len(table), plain(of))}")
    facts.show(score_facts())
    if row["rank_disagrees"]:
        st.warning("Its spectrum does not fit the encoder's rank; compare it with care.", icon=":material/warning:")


# --- the score taken apart --------------------------------------------------------------------------------------------


def score_fully() -> None:
    """An estimate has no spectrum; a person may ask for the full score."""
    precision = way.decided

    def work(job: object) -> object:
        items = [item for item in dataset.items() if item.name == row["name"]]
        encoder = state.encoder(choice.spec.name)
        return score_items(
            state.store(),
            encoder,
            dataset.name,
            items,
            choice.output,
            precision=precision,
            whole=False,
            progress=job.report,
            cancelled=job.cancelled,
        )

    st.info(
        "This score is an estimate, made without the full spectrum, so it cannot be taken apart yet.",
        icon=":material/functions:",
    )
    key = f"full:{config_of(choice.spec, choice.output, precision).key}:{digest}"
    job = widgets.arriving(key, "Scoring this image fully", work, ask="Score it fully")
    if job:
        st.rerun()


st.subheader("Which singular values make it " + ("unlikely?" if row["percentile"] <= 50 else "likely?"))
band = compared.spread(choice, dataset)
result = state.store().get(config_of(choice.spec, choice.output, way.decided), digest)
if row["estimated"] or result is None:
    score_fully()
elif band is None:
    st.info(
        f"Fewer than {detail.LEAST_SPREAD} images here have full scores, too few to say which singular values are "
        "unusual. Choose a larger dataset.",
        icon=":material/stacked_line_chart:",
    )
    st.plotly_chart(spectrum_figure(result.spectrum, rank.rank), config=CONFIG, alt="Its singular values on a log axis")
else:
    apart = shortfall.parts(result.spectrum, band)
    words = shortfall.in_words(apart, band)
    st.markdown(plain(words))
    left, right = st.columns(2)
    with left:
        st.plotly_chart(
            spectrum_figure(result.spectrum, rank.rank, band=band),
            config=CONFIG,
            alt=f"Singular values of this image from {result.spectrum[0]:.3g} down to {result.spectrum[rank.rank - 1]:.3g} "
            f"in front of the band of {band.size} images of {band.name}",
        )
        st.caption("Its singular values, largest first, and where those of the reference lie.")
    with right:
        st.plotly_chart(parts_figure(apart), config=CONFIG, alt=words)
        st.caption(
            "Each log singular value minus the reference's median, and their sum from the first on: where the line "
            "falls, the image loses score. The shaded directions hold half of the difference."
        )


# --- leverage ---------------------------------------------------------------------------------------------------------


@st.fragment
def leverage_map(found: Directions) -> None:
    opacity = st.slider("Opacity of the map", 0, 100, 60, step=10, format="%d %%", key="opacity")
    values = found.leverage
    png = scored_crop(state.store(), choice.config.transform, dataset, member)
    crop = images.rgb_array(png)
    most = f"up to {values.max():.2g} a pixel"
    total = f"sum {values.sum():.2f}, the rank is {rank.rank}"
    pictures.grid(
        [
            pictures.Card(
                pictures.data_address(images.array_png(overlay(crop, values, opacity / 100), SHOWN)),
                "",
                "On the picture",
                (f"opacity {opacity} %",),
                f"Leverage map laid on {row['name']}",
            ),
            pictures.Card(
                pictures.data_address(images.array_png(heat_picture(values), SHOWN)),
                "",
                "Leverage map",
                (most, total),
                f"Leverage map of {row['name']}: {most}",
            ),
        ],
        large=True,
    )


st.subheader("Which pixels does the score hang on?")
st.markdown(
    "The brighter a pixel, the more the score would change if the encoder reacted a little more strongly to it. This is "
    "a sensitivity, not a cause."
)
if dataset.listed:
    st.info("The map needs the picture itself, which is not bundled.", icon=":material/visibility_off:")
else:
    decomposed = jacobians.directions(choice, dataset, row, ask=True)
    if decomposed:
        leverage_map(decomposed)


# --- neighbours -------------------------------------------------------------------------------------------------------

st.subheader("Nearest in the embedding")
training = compared.known_set(choice.spec.training, choice)
near = [one for one in (reference or dataset, training) if one and not (one is training and one.listed)]
for one in {other.name: other for other in near}.values():
    rows = compared.neighbours(choice, one, digest)
    st.caption(
        plain(
            f"{one.title}: {'what the encoder was trained on' if one is training else 'the reference' if one is reference else 'this dataset'}"
        )
    )
    if rows.empty:
        st.info("There is no other scored image here.", icon=":material/scatter_plot:")
        continue
    cards = pictures.cards(choice, one, rows)
    pictures.grid(
        [
            replace(card, aside=(f"distance {distance:.2f}", *card.aside))
            for card, distance in zip(cards, rows["distance"], strict=True)
        ]
    )


# --- where it comes from ----------------------------------------------------------------------------------------------


def file_facts() -> list[Fact]:
    shown = [Fact("Name", row["name"]), Fact("Class", row["label"]), Fact("Dataset", dataset.title)]
    try:
        found = original.read(dataset, member)
    except JepaError:
        found = None
    if found:
        shown += [
            Fact("Size", f"{found.width} x {found.height} px, {counted(found.size, 'byte')}", " ".join(found.notes)),
            Fact("Format", found.format),
        ]
    return [*shown, Fact("SHA-256", digest), Fact("Licence", dataset.licence)]


def made_facts() -> list[Fact]:
    spec, k = choice.spec, choice.spec.outputs[choice.output]
    config = spec.data_config
    channels, height, width = config["input_size"]
    transform = (
        f"{width} x {height} px, {'grey' if channels == 1 else 'RGB'}, {config['interpolation']}, crop "
        f"{config['crop_mode']} {config['crop_pct']}; mean {config['mean']}, standard deviation {config['std']}"
    )
    products = f"a sketch: {way.sketch.rows_for(k)} of {k} products" if row["estimated"] else f"exact: all {k} products"
    return [
        Fact("Encoder", f"{spec.name} ({spec.family})", f"weights {spec.weights_digest[:16]}…"),
        Fact("Transform", transform),
        Fact("Output", f"{choice.output}, {k} numbers"),
        Fact("Rank", str(rank.rank), rank.reason),
        Fact("Method", products),
        Fact("Precision", way.decided),
        Fact("Computed on", f"{row['device']}, {row['seconds']:.2g} s"),
    ]


left, right = st.columns(2, gap="medium")
with left:
    st.subheader("The file")
    facts.show(file_facts(), lines=True)
with right:
    st.subheader("How this was computed")
    facts.show(made_facts(), lines=True)
again = detail.again(choice.spec, choice.output, dataset, row, way.decided)
st.markdown("**Compute it again** from a terminal; nothing is read from the store:")
if dataset.listed:
    st.caption("This needs the pictures: put the folder that holds them in place of FOLDER.")
st.code(again.command, language="bash", wrap_lines=True)
if again.python:
    st.markdown("or from Python:")
    st.code(again.python, language="python", wrap_lines=True)

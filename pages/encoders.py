"""Encoders: what each is, what it was trained on, how good it is, and where it fails."""

import pandas as pd
import streamlit as st

from jepa_core.check.track_record import FEW, MOST, track_record
from jepa_core.encoders.card import load_card
from jepa_core.encoders.registry import list_encoders
from jepa_core.errors import JepaError
from jepa_core.figures.qq import qq_figure
from jepa_core.figures.style import CONFIG
from pages._sections.encoders import add
from pages._shared import layout
from pages._shared.choice import current_choice
from pages._shared.text import escaped

layout.header(
    "Encoders",
    "What is each encoder, what did it learn from, and how far can it be trusted?",
    """**What you see.** The model card of each encoder: its data, its training, and what was measured on images that it
was not trained on.

**Linear probe**: the share of held-out images whose class a linear classifier reads off the embedding. **10-NN**: the
same by the vote of the ten nearest training images. **Effective rank**: over how many directions the embeddings spread.

**How Gaussian.** The score rests on embeddings that follow a normal distribution. The Epps-Pulley statistic is about
1.06 if they do and grows as they do not; in the figure, Gaussian embeddings lie on the dotted line.""",
    picture="encoders",
)
choice = current_choice()


def held_out(card: dict, metric: str, output: str) -> float | None:
    """A metric of an output on the test part; None where the card has none."""
    return card["metrics"].get(metric, {}).get(output, {}).get("test")


def row_of(name: str, card: dict) -> dict[str, object]:
    """The line of an encoder in the table; `KeyError` and the like for a card that has no such figures."""
    return {
        "encoder": name,
        "data": card["data"],
        "probe": held_out(card, "linear_probe", "backbone"),
        "neighbours": held_out(card, "nearest_neighbours", "backbone"),
        "pixels": held_out(card, "linear_probe", "raw_pixels"),
        "sigreg": card["metrics"]["sigreg"]["test"],
        "parameters": card["parameters"] / 1e6,
        "minutes": card["seconds"] / 60,
    }


cards, rows = {}, []
for name, spec in list_encoders().items():
    if spec.source == "bundled":
        try:
            card = load_card(spec)
            rows.append(row_of(name, card))
            cards[name] = card
        except (JepaError, KeyError, TypeError, AttributeError) as error:  # one card must not take the others away
            sentence = (
                f"The card of encoder {name} lacks figures that are shown here ({type(error).__name__}: {error})."
            )
            st.warning(escaped(sentence), icon=":material/warning:")
columns = st.column_config
st.dataframe(
    pd.DataFrame(rows),
    hide_index=True,
    placeholder="-",
    column_config={
        "encoder": columns.TextColumn("Encoder", pinned=True),
        "data": columns.TextColumn("Trained on", width="medium"),
        "probe": columns.NumberColumn("Linear probe", format="%.3f", help="Held-out accuracy, backbone"),
        "neighbours": columns.NumberColumn("10-NN", format="%.3f", help="Held-out accuracy, backbone"),
        "pixels": columns.NumberColumn("Probe of raw pixels", format="%.3f", help="What no encoder at all would give"),
        "sigreg": columns.NumberColumn("Epps-Pulley", format="%.2f", help="Of the projector; 1.06 is Gaussian"),
        "parameters": columns.NumberColumn("Million weights", format="%.1f"),
        "minutes": columns.NumberColumn("Training, min", format="%.0f"),
    },
)
if choice.spec.name not in cards:
    st.info("The encoder chosen in the sidebar has no model card here.", icon=":material/info:")
    add.show()
    st.stop()
card = cards[choice.spec.name]
st.header(escaped(choice.spec.title))
st.markdown(escaped(choice.spec.description))
left, right = st.columns([1, 1])
with left:
    recipe = card["recipe"]
    facts = {
        "Data": card["data"],
        "Terms of the data": card["terms"],
        "Architecture": f"{card['architecture']}, {card['parameters'] / 1e6:.1f} million weights, input "
        f"{' x '.join(str(side) for side in card['data_config']['input_size'])}",
        "Outputs": ", ".join(f"{output} ({k} numbers)" for output, k in card["outputs"].items()),
        "Training": f"{recipe['steps']} steps of {recipe['batch']} images, {card['seconds'] / 60:.0f} minutes on "
        f"{card['hardware']}",
        "Make it again": card["remake"],
        "Method": card["paper"],
        "Licence of the weights": card["licence"],
    }
    for title, text in facts.items():
        st.markdown(f"**{title}**: {escaped(text)}")
with right:
    metrics = card["metrics"]
    if "qq" in metrics:
        st.plotly_chart(
            qq_figure(metrics["qq"]["normal"], metrics["qq"]["embedding"]),
            config=CONFIG,
            alt="Quantiles of held-out embeddings against normal quantiles",
        )
    rank = metrics["effective_rank"]["projector"]["test"]
    st.caption(
        f"Held-out embeddings of the projector: Epps-Pulley {metrics['sigreg']['test']:.2f} (exactly Gaussian: "
        f"{metrics['sigreg']['exact_gaussian']:.2f}), effective rank {rank:.1f} of {card['outputs']['projector']}."
    )
if record := track_record(choice.spec):
    st.header("What it can tell from its own kind")
    st.markdown("\n".join(f"- {escaped(sentence)}" for sentence in record.sentences))
    st.caption(
        f"Of each kind, at least {100 * MOST:.0f} % are called something, or at most {100 * FEW:.0f} %, where 5 % of "
        "its own kind are; measured on pictures that it has not learned from."
    )
st.header("Known failures")
st.markdown("\n".join(f"- {escaped(sentence)}" for sentence in card["known_failures"]) or "None are known.")
add.show()

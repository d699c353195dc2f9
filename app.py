"""The explorer: navigation, theme, and the choices that all pages share.

Start it with `make app`, or `streamlit run app.py`.
"""

import os

# Before torch is imported. Its threads wait for each other awake, and where another program (the browser, say) has a
# core, each small product then waits for the scheduler. Asleep they cost a small encoder 15 % of its speed on two quiet
# cores, and make it ten times as fast where one of them is busy.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import streamlit as st

from jepa_core.config import ASSETS
from pages._shared import choice, errors, image_grid, layout, opening, resources, streamlit_patches, tour, turns

SECTIONS = {
    "Explore": (
        ("gallery", "Gallery", "grid_view", "The least and most likely images of a class, with their scores."),
        ("data", "Data", "photo_library", "Which pictures can be explored, and how others get here."),
        ("image", "Image", "image_search", "One image in detail: its score, why it has it, and what is near it."),
        ("directions", "Directions", "explore", "The changes of an image that move its embedding most and least."),
        ("map", "Map", "scatter_plot", "Which images lie together in the embedding, and where the unlikely ones are."),
        ("check", "Check", "fact_check", "Upload images and see whether they belong."),
    ),
    "Compare": (
        ("domains", "Domains", "stacked_line_chart", "How whole sets of images lie beside each other on the score."),
        ("compare", "Compare", "compare", "Do encoders find the same images likely, and which do they dispute?"),
        ("studies", "Studies", "menu_book", "The paper's figures, on the encoders and images you choose."),
    ),
    "Behind it": (
        ("theory", "Theory", "science", "The papers' experiments where the truth is known, live."),
        ("encoders", "Encoders", "model_training", "What each encoder is, learned from, and where it fails."),
        ("runs", "Runs", "monitoring", "What is being computed, and what the store of results holds."),
    ),
}
HOME = "gallery"

streamlit_patches.turn_off()

# Before the navigation: a page's own icon would become the tab's, which the browser fetches from another server.
st.set_page_config(page_icon=str(ASSETS / "icon.svg"), layout="wide")
st.logo(str(ASSETS / "logo.svg"), size="large", icon_image=str(ASSETS / "icon.svg"))
st.html(ASSETS / "theme.css")
page = st.navigation(
    {
        section: [
            st.Page(
                f"pages/{name}.py",
                title=title,
                icon=f":material/{icon}:",
                help=text,
                url_path=None if name == HOME else name,
                default=name == HOME,
            )
            for name, title, icon, text in pages
        ]
        for section, pages in SECTIONS.items()
    }
)
with turns.take_turn(), errors.show_errors(f"The page {page.title}"):
    st.session_state["page"] = page.title
    resources.show_store_notices()
    opening.fill_in(is_home=page.url_path in ("", HOME))
    choice.choose_encoder()
    tour.offer()
    image_grid.follow_clicked_link()
    with layout.inside_app():
        tour.show(page.url_path or HOME)
        page.run()
    choice.preload_encoder()

"""Gallery of a set whose pictures are not here: its classes in figures, in the place of pictures."""

import pandas as pd
import streamlit as st

from jepa_core.datasets.spec import DatasetSpec
from pages._shared.text import escaped

_COLUMNS = {
    "images": "Images",
    "median": st.column_config.NumberColumn("Median score", format="%.1f"),
    "least": st.column_config.NumberColumn("Least likely", format="%.1f"),
    "most": st.column_config.NumberColumn("Most likely", format="%.1f"),
}


def show(dataset: DatasetSpec, table: pd.DataFrame) -> None:
    """The scores of each class among the rows of a score table, the class with the lowest median first."""
    st.header("Classes")
    st.caption(escaped(f"Scores of {dataset.title}; its pictures are not here, so there are none to show."))
    of_class = table.groupby("label")["jepa_score"]
    found = of_class.agg(images="size", median="median", least="min", most="max").sort_values("median")
    found.index = pd.Index([dataset.class_title(label) for label in found.index], name="Class")
    st.dataframe(found, column_config=_COLUMNS, height="content")

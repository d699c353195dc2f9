"""Domains' table: how well each method tells each set from the reference."""

import pandas as pd
import streamlit as st

from jepa_core.analysis.methods import COMPARED, METHODS
from jepa_core.analysis.separation import column_with_interval

number, text = st.column_config.NumberColumn, st.column_config.TextColumn


def show(table: pd.DataFrame) -> None:
    """The separation by each method; what else was measured is one click away."""
    found = [method for method in COMPARED if table[f"percentile_{method}"].notna().any()]
    short = METHODS | {"jepa": "score"}
    st.dataframe(
        pd.DataFrame(
            {"domain": table["domain"]}
            | {f"auroc_{method}": column_with_interval(table, f"auroc_{method}") for method in found}
            | {"images": table["images"]}
        ),
        hide_index=True,
        height="content",
        placeholder="-",
        column_config={"domain": text("Domain", pinned=True), "images": number("Images")}
        | {f"auroc_{method}": text(f"AUROC {short[method]}") for method in found},
    )
    with st.expander("Percentiles, FPR95, AUPR and quartiles", icon=":material/table_chart:"):
        rest = ["median", "q25", "q75", *(["estimated"] if table["estimated"].any() else [])]
        st.dataframe(
            pd.DataFrame(
                {"domain": table["domain"]}
                | {f"percentile_{method}": table[f"percentile_{method}"] for method in found}
                | {
                    f"{metric}_{method}": column_with_interval(table, f"{metric}_{method}")
                    for metric in ("fpr95", "aupr")
                    for method in found
                }
                | {column: table[column] for column in rest}
            ),
            hide_index=True,
            placeholder="-",
            column_config={
                "domain": text("Domain", pinned=True),
                "median": number("Median score", format="%.1f"),
                "q25": number("25 %", format="%.1f"),
                "q75": number("75 %", format="%.1f"),
                "estimated": number("Estimates", help="How many of the scores are estimates"),
            }
            | {f"percentile_{method}": number(f"Percentile {short[method]}", format="%.0f") for method in found}
            | {
                f"{metric}_{method}": text(f"{metric.upper()} {short[method]}")
                for metric in ("fpr95", "aupr")
                for method in found
            },
        )
        st.caption(
            "Percentiles are those of the domain's median in the reference: a low one of a score is unlikely, a high "
            "one of a distance is far away."
        )

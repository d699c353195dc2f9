"""Theory's experiment on what linear networks learn first."""

import streamlit as st

from jepa_core import theory
from jepa_core.figures import theory_features
from jepa_core.theory import experiment as theory_experiment
from jepa_core.theory import features
from pages._sections.theory import experiment_parts
from pages._shared import url_state


def show() -> None:
    experiment = theory.FEATURES
    cells = experiment_parts.full_result(experiment)
    rows = features.ratios(cells)
    alt = "; ".join(f"{row['objective']}, depth {row['depth']}: {row['ratio']:.2f}" for row in rows)
    left, right = st.columns(2)
    with left:
        st.header("Later or earlier, by depth")
        experiment_parts.chart(theory_features.learning_order_figure(rows), "features-depth", alt)
    depth_3 = next(cell for cell in cells if cell.settings == features.Settings(depth=3))
    with right:
        st.header("JEPA, depth 3")
        experiment_parts.chart(
            theory_features.learning_curves_figure(depth_3.result["JEPA"], depth_3.result["until"]["JEPA"]),
            "features-three",
            "The predictable feature is learned before the noisy one",
        )
    experiment_parts.made_by(experiment, cells)
    st.header("Run it here")
    experiment_parts.run_here(experiment, _choose_settings(), _draw_learning)


def _choose_settings() -> features.Settings:
    left, middle, right = st.columns(3)
    depth = left.slider("Depth L", 1, 4, 2, key="depth", bind="query-params")
    size = middle.select_slider("Initial size ε", (0.01, 0.02, 0.05), value=0.02, key="size", bind="query-params")
    rho = right.slider("\u03c1 of the noisy feature", 0.4, 1.0, 0.5, 0.05, key="rho", bind="query-params")
    left, middle, _right = st.columns(3)
    share = left.slider("λ of the predictable feature", 0.5, 1.0, 0.9, 0.05, key="lambda", bind="query-params")
    with middle:
        process = url_state.choose_one(
            "Data",
            {"exact": "exact covariances"} | {name: name for name in features.PROCESSES},
            "exact",
            "process",
            "static: one hidden thing is seen twice, with noise. dynamic: the next moment of something that changes is "
            "predicted from this one. Both are drawn 10,000 times.",
        )
    drawn = process in features.PROCESSES
    return features.Settings(
        depth=depth,
        size=size,
        covariance=(1.0, share),
        regression=(rho, 1.0),
        process=process if drawn else "static",
        samples=10_000 if drawn else 0,
    )


def _draw_learning(result: theory_experiment.Result) -> None:
    for column, objective in zip(st.columns(2), features.OBJECTIVES, strict=True):
        if objective in result:
            with column:
                st.markdown(f"**{objective}**")
                experiment_parts.chart(
                    theory_features.learning_curves_figure(result[objective], result["until"][objective]),
                    f"features-{objective}",
                    f"How much of each feature {objective} has learned over time",
                )

"""Theory: the papers' controlled experiments, whose truth is known, as shipped and live."""

from pages._sections.theory import features, sampling, spheres, truth, views
from pages._shared import layout, url_state

TITLES = {
    "spheres": "Spheres",
    "truth": "Score against truth",
    "sampling": "Sampling",
    "features": "Features",
    "views": "More views",
}

layout.header(
    "Theory",
    "Do the papers' claims hold where the density is known?",
    """Pictures have no known probability, so on them a score can never be checked. Here the data are drawn from
distributions that are known exactly, and small encoders are trained on them in seconds.

Each experiment shows a **full result** that came with the explorer and the command that makes it again. Below it,
**Run it here** computes a short version with settings of yours, and the figure fills while it runs. What was computed
stays on this computer.""",
    picture="theory",
)
chosen = url_state.choose_one("Experiment", TITLES, "spheres", "experiment")

EXPERIMENTS = {"spheres": spheres, "truth": truth, "sampling": sampling, "features": features, "views": views}
EXPERIMENTS[chosen].show()

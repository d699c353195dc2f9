"""The papers' controlled experiments, where the truth is known: `python -m jepa_core theory NAME`, and a page.

Sources: Balestriero, Ballas, Rabbat, LeCun, arXiv 2510.05949; Littwin et al., arXiv 2407.03475.
"""

from jepa_core.errors import UnknownName
from jepa_core.theory.ascent import ASCENT
from jepa_core.theory.experiment import Experiment
from jepa_core.theory.features import FEATURES
from jepa_core.theory.sampling import SAMPLING
from jepa_core.theory.spheres import SPHERES
from jepa_core.theory.truth import TRUTH
from jepa_core.theory.views import VIEWS

EXPERIMENTS = {one.name: one for one in (SPHERES, TRUTH, SAMPLING, ASCENT, FEATURES, VIEWS)}
"""All experiments by name, in the order of the page; `ascent` is shown with `sampling`."""


def get_experiment(name: str) -> Experiment:
    """The experiment of that name, else `UnknownName` with the names there are."""
    if name not in EXPERIMENTS:
        raise UnknownName("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]

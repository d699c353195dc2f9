"""The sets that come with the explorer."""

from functools import partial

from jepa_core.datasets import registry
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.wording import counted
from pages._sections.data import cards


def cards_of() -> list[cards.Card]:
    """A card for each bundled set."""
    return [_card(spec) for spec in registry.list_datasets().values()]


def _card(spec: DatasetSpec) -> cards.Card:
    classes = "1 class" if len(spec.classes) == 1 else f"{len(spec.classes)} classes"
    facts = [f"{counted(len(spec), 'picture')}, {classes}", f"Licence: {spec.licence}"]
    return cards.Card(spec.name, spec.title, spec.description, facts, partial(cards.open_button, spec.name))

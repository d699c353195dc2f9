"""The sets that come with the explorer."""

from functools import partial

from jepa_core.datasets import registry
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.wording import counted
from pages._sections.data import cards


def show(wanted: str) -> int:
    """The cards of the bundled sets with the wanted words; how many there are."""
    return cards.show("Bundled", [_card(spec) for spec in registry.list_datasets().values()], wanted)


def _card(spec: DatasetSpec) -> cards.Card:
    pictures = f"{counted(len(spec), 'picture')}, {counted(len(spec.classes), 'class')}"
    facts = [pictures.replace("classs", "classes"), f"Licence: {spec.licence}"]
    return cards.Card(spec.name, spec.title, spec.description, facts, partial(cards.open_button, spec.name))

"""Cards of images with the reasons to look at them."""

from dataclasses import replace

from pages._shared import image_grid, score_tables, scoring_job
from pages._shared.choice import Choice


def cards(
    choice: Choice, chosen: scoring_job.ScoredDataset, names: list[str], reasons: list[str]
) -> list[image_grid.Card]:
    """Cards of images by their names, with the reasons below each."""
    table = score_tables.ranked(choice, chosen.dataset, chosen.label).set_index("name", drop=False)
    kept = [(name, why) for name, why in zip(names, reasons, strict=True) if name in table.index]
    made = image_grid.cards(choice, chosen.dataset, table.loc[[name for name, _why in kept]], chosen.label)
    return [
        replace(card, aside=(*([why] if why else []), *card.aside), alt=f"{card.alt}{'. ' if why else ''}{why}")
        for card, (_name, why) in zip(made, kept, strict=True)
    ]

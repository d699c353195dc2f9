"""`datasets`: what can be explored: bundled, and to download; with a name, download it."""

import argparse
from typing import Any

from jepa_core.cli.arguments import add_command
from jepa_core.cli.output import Bar, note, say, show_rows
from jepa_core.datasets import catalog, download, registry


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    parser = add_command(
        subparsers, "datasets", run, "List the bundled datasets and those to download, or download one."
    )
    parser.add_argument(
        "--download",
        metavar="NAME",
        help="download this one; a download that was stopped goes on where it was",
    )


def run(args: argparse.Namespace) -> None:
    """List the datasets, or download one."""
    if args.download:
        _download(args.download)
        return
    bundled: list[dict[str, object]] = [
        {
            "name": spec.name,
            "images": len(spec),
            "classes": len(spec.labels()),
            "source": spec.source,
            "title": spec.title,
        }
        for spec in registry.list_datasets().values()
    ]
    offered = [_row(entry, split, in_words=not args.json) for entry, split in catalog.parts()]
    if args.json:
        show_rows(bundled + offered, True)
        return
    show_rows(bundled, False)
    say("\nTo download, with 'datasets --download NAME':\n")
    show_rows(offered, False)


def _row(entry: catalog.CatalogEntry, split: catalog.Split, *, in_words: bool) -> dict[str, object]:
    """The line of a set to download."""
    here = download.is_here(entry.named(split))
    facts: dict[str, object] = {
        "name": entry.named(split),
        "images": split.pictures,
        "classes": entry.classes,
        "source": entry.origin,
        "title": catalog.title_of(entry, split),
        "download": split.size,
        "here": here,
        "login": entry.login,
    }
    if in_words:
        known = {name: "unknown" if value is None else value for name, value in facts.items()}
        yes_or_no = {name: "yes" if facts[name] else "no" for name in ("here", "login")}
        facts = known | yes_or_no | {"download": catalog.megabytes(split.size)}
        facts = {name: str(value) for name, value in facts.items()}
    return facts


def _download(name: str) -> None:
    entry, split = catalog.find(name)
    whole, title = entry.named(split), catalog.title_of(entry, split)
    if download.is_here(whole):
        note(f"{title} is here already: --data {whole}")
        return
    size = catalog.megabytes(split.size or download.ask_size(whole))
    login = "; its terms have to be accepted on its page first" if entry.login else ""
    note(f"{title}: {size}, licence {entry.licence or 'not stated'}{login}.")
    download.download(whole, Bar(title, "B"))
    note(f"{title} is here now: --data {whole}")

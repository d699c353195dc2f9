"""Streamlit's server, which names and opens an address with a query: `python -m jepa_core.cli.serve_at QUERY run ...`.

Streamlit itself knows one address, that of the first page. Here everything else about it is its own: when the browser
opens and whether one does, which port is free, what is printed. A program of its own, which nothing imports.
"""

import sys
from types import SimpleNamespace

from streamlit.web import bootstrap, cli
from streamlit.web.server import server_util


def serve(query: str, words: list[str]) -> None:
    """What `streamlit WORDS` does, with "?QUERY" behind the address."""
    changed = {"get_url": lambda host: f"{server_util.get_url(host)}/?{query}"}
    # Only what starts the server is to see it: other parts ask for their own origin by the same function.
    bootstrap.server_util = SimpleNamespace(**(vars(server_util) | changed))  # type: ignore[assignment]
    cli.main(words, prog_name="streamlit")


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2:])

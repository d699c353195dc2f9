"""The program: `jepa-score`, or `python -m jepa_core`."""

import sys
import warnings

from jepa_core.signals import Stopped, stop_when_told


def start() -> None:
    """Run the command that the program was given, and leave with its status."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # what libraries remark on their own use is nothing to a person
    stop_when_told()
    try:
        from jepa_core.cli.parser import main  # takes a moment

        status = main()
    except KeyboardInterrupt as stop:  # before `main` could turn it into its own sentence
        print("Stopped before anything was begun.", file=sys.stderr)
        status = stop.status if isinstance(stop, Stopped) else 1
    sys.exit(status)


if __name__ == "__main__":
    start()

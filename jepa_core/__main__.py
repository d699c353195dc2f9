"""`python -m jepa_core`."""

import sys

try:
    from jepa_core.cli import main  # takes a second

    status = main()
except KeyboardInterrupt:  # before `main` could turn it into its own sentence
    print("Stopped before anything was begun.", file=sys.stderr)
    status = 1
sys.exit(status)

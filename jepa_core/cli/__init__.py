"""The terminal: `jepa-score COMMAND`, or `python -m jepa_core COMMAND`.

Each command is a module with its arguments (`add_parser`) and what it does (`run`). All of them are imported for any
`--help`, which is to answer at once: so at their tops stands only what the arguments need, and what takes long to
import (pandas, SciPy, torch and what is built on them) is imported by the function that works with it.
"""

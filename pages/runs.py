"""Runs: what is being computed and was computed, and what the store of results holds."""

from pages._sections.runs import job_list, stored_results
from pages._shared import layout

layout.header(
    "Runs",
    "What is being computed, and what is kept?",
    """**What runs.** Pages never compute by themselves: they put a piece of work into one queue, and one worker takes
one piece after another, since two at once would only slow each other down. A piece that a person waits for goes between
the steps of a long one. Whatever a run has finished is kept when it is stopped.

**What is kept.** A score is never computed twice: its spectrum, its embedding and the picture that was shown are kept
in one SQLite file, the *store*. Deleting a part of it loses nothing for good, but it has to be computed again.

**A copy** of the store is one file. Imported on another computer, it adds what that one lacks.""",
    picture="runs",
)

job_list.show()
stored_results.show()

"""The pictures that a session holds, which are forgotten soon after it has ended.

Streamlit keeps what a session that has lost its browser had, until other sessions come and go. So a thread looks,
while any session holds pictures, and drops those of sessions that have had no browser for a while.
"""

import threading
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

import streamlit as st
from streamlit.runtime import Runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from jepa_core.datasets.uploads import Uploads

GRACE = 120.0  # seconds that Streamlit lets a browser take to come back
_EVERY = 10.0  # seconds between two looks


class Keeper:
    """Knows whose pictures are whose; `is_here` says whether a session has a browser."""

    def __init__(self, is_here: Callable[[str], bool]) -> None:
        self._is_here = is_here
        self._sessions: WeakKeyDictionary[Uploads, str] = WeakKeyDictionary()
        self._gone: WeakKeyDictionary[Uploads, float] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def keep(self, held: Uploads, session: str) -> None:
        """Look after the pictures of a session."""
        with self._lock:
            self._sessions[held] = session
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="jepa-uploads", daemon=True)
                self._thread.start()

    def forget_gone(self, now: float) -> int:
        """Forget the pictures of sessions that have gone; how many sets of pictures are left to look after."""
        with self._lock:
            sessions = dict(self._sessions)
        for held, session in sessions.items():
            if self._is_here(session):
                self._gone.pop(held, None)
            elif now - self._gone.setdefault(held, now) >= GRACE:
                held.forget()
                with self._lock:
                    del self._sessions[held]
        return len(self._sessions)

    def _watch(self) -> None:
        while True:
            time.sleep(_EVERY)
            left = self.forget_gone(time.monotonic())
            with self._lock:
                if not left and not self._sessions:
                    self._thread = None
                    return


@st.cache_resource(show_spinner=False)
def _keeper() -> Keeper:
    return Keeper(_has_browser)


def _has_browser(session: str) -> bool:
    try:
        return Runtime.instance().is_active_session(session)
    except RuntimeError:  # the server is about to end
        return True


def of_session() -> Uploads:
    """The pictures of the session that runs the page."""
    held: Uploads = st.session_state.setdefault("uploads", Uploads())
    context = get_script_run_ctx()
    if context and Runtime.exists():  # else it is a test of the page
        _keeper().keep(held, context.session_id)
    return held

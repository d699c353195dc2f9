"""Habits of Streamlit's server that cost its visitors time or lend them too much, turned off where no setting does.

A test looks at each, so that another version of Streamlit that does otherwise is noticed.
"""

import atexit
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

from starlette.websockets import WebSocketDisconnected
from streamlit import config, net_util, runtime
from streamlit.elements.widgets.number_input import NumberInputSerde
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.app_session import AppSession


def _nothing(*_given: object) -> None:
    """Neither done nor answered."""


_whole_number = NumberInputSerde.deserialize


def _number(field: NumberInputSerde, given: float | None) -> float | None:
    """A field's number; its default for infinity and for what is no number, as for one out of bounds."""
    try:
        return _whole_number(field, given)
    except (OverflowError, ValueError):
        return field.value


_new_session = AppSession._create_new_session_message
# Who had come before: a browser that is told another path than at first takes down what it shows.
_earlier: WeakSet[AppSession] = WeakSet()


def _without_path(session: AppSession, *given: Any) -> ForwardMsg:
    message = _new_session(session, *given)
    if session not in _earlier:
        message.new_session.main_script_path = Path(message.new_session.main_script_path).name
    return message


def _is_news(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], WebSocketDisconnected))


def _end_quietly() -> None:
    """Nothing that is said once the server has ended is news: libraries that were half imported print traces."""
    logging.shutdown()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def turn_off() -> None:
    """Turn them off, for all sessions from here on. To be called before a page is shown.

    - A connection from a foreign origin is refused, but only after `server_util.is_url_from_allowed_origins` has asked
      two addresses on the internet what this machine's own is, for seconds in which the server answers nobody.
    - A session that connects again is given file watchers whatever `server.fileWatcherType` says
      (`WebsocketSessionManager`). They go through all of torch's files after each run, in the thread that serves all.
    - Any visitor's `clear_cache` empties what all share: the queue of jobs with it, and the open store.
    - Any visitor's `load_git_info` is answered with where the installation was cloned from and what is changed in it.
    - Every visitor is told the path of `app.py` on the server; its name is enough. The first one was told already.
    - A visitor who leaves while the server reads what was sent is a trace of forty lines in its log.
    - An address that asks a field of whole numbers for 1e999 ends its page.
    - A server that ends while libraries are imported prints dozens of traces of theirs.
    """
    NumberInputSerde.deserialize = _number  # type: ignore[method-assign]
    logging.getLogger("uvicorn.error").addFilter(_is_news)  # once: a filter that is there is not added again
    if AppSession._create_new_session_message is not _without_path:
        manager = getattr(runtime.get_instance(), "_session_mgr", None) if runtime.exists() else None
        if manager is not None:  # tests of a page have none
            _earlier.update(known.session for known in manager.list_active_sessions())
            atexit.register(_end_quietly)  # before all others, so that it is called after them
        AppSession._create_new_session_message = _without_path  # type: ignore[method-assign]
    net_util.get_external_ip = _nothing
    if config.get_option("server.fileWatcherType") == "none":
        AppSession.register_file_watchers = _nothing  # type: ignore[method-assign]
    AppSession._handle_clear_cache_request = _nothing  # type: ignore[method-assign]
    AppSession._handle_git_information_request = _nothing  # type: ignore[method-assign]

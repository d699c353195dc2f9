"""Two habits of Streamlit's server that cost its visitors time, turned off where no setting does. Each names the lines.

Both are looked at by a test, so that another version of Streamlit that does otherwise is noticed.
"""

from streamlit import config, net_util
from streamlit.runtime.app_session import AppSession


def _nowhere() -> None:
    """The machine's address as seen from outside: not asked for."""


def _no_watchers(_session: AppSession) -> None:
    """No file is watched: `server.fileWatcherType` says so."""


def turn_off() -> None:
    """Have no outside address asked, and no files watched for a visitor who comes back.

    A connection from a foreign origin is refused, but only after `server_util.is_url_from_allowed_origins` has asked
    two addresses on the internet what this machine's own is, for seconds in which the server answers nobody.

    A session that connects again is given file watchers whatever the setting (`Runtime.connect_session`), which go
    through all of torch's files after each run, in the thread that serves everybody.
    """
    net_util.get_external_ip = _nowhere
    if config.get_option("server.fileWatcherType") == "none":
        AppSession.register_file_watchers = _no_watchers  # type: ignore[method-assign]

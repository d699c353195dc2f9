"""What of Streamlit's server is turned off: that each is still there to be turned off, and that it is."""

import inspect
import logging
from unittest.mock import Mock

import pytest
from starlette.websockets import WebSocketDisconnected
from streamlit import net_util
from streamlit.elements.widgets.number_input import NumberInputSerde
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.NumberInput_pb2 import NumberInput
from streamlit.runtime import websocket_session_manager
from streamlit.runtime.app_session import AppSession
from streamlit.web.server import server_util

from pages._shared import streamlit_patches

PATCHED = [
    (net_util, "get_external_ip"),
    (AppSession, "register_file_watchers"),
    (AppSession, "_create_new_session_message"),
    (AppSession, "_handle_clear_cache_request"),
    (AppSession, "_handle_git_information_request"),
    (NumberInputSerde, "deserialize"),
]


@pytest.fixture(autouse=True)
def unpatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each as it is, and as it was again after the test."""
    for owner, name in PATCHED:
        monkeypatch.setattr(owner, name, getattr(owner, name))


def test_a_foreign_origin_is_refused_without_asking_anybody_who_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Mock(return_value="203.0.113.7")
    monkeypatch.setattr(net_util, "_make_blocking_http_get", asked)
    streamlit_patches.turn_off()
    assert not server_util.is_url_from_allowed_origins("http://evil.example")
    assert not server_util.is_url_from_allowed_origins("http://203.0.113.7")
    assert server_util.is_url_from_allowed_origins("http://localhost:8501")
    asked.assert_not_called()


def test_nobody_empties_what_all_share_or_is_told_of_the_repository() -> None:
    handler = inspect.getsource(AppSession.handle_backmsg)
    assert "self._handle_clear_cache_request()" in handler
    assert "self._handle_git_information_request()" in handler
    streamlit_patches.turn_off()
    session = Mock()
    for name in ("_handle_clear_cache_request", "_handle_git_information_request"):
        assert getattr(AppSession, name)(session) is None
    assert session.mock_calls == []


def test_a_visitor_is_not_told_where_the_app_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    message = ForwardMsg()
    message.new_session.main_script_path = "/srv/secret/app.py"
    monkeypatch.setattr(streamlit_patches, "_new_session", lambda _session, *_given: message)
    streamlit_patches.turn_off()
    assert AppSession._create_new_session_message(Mock(), "hash").new_session.main_script_path == "app.py"


def test_a_visitor_who_leaves_is_no_trace_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    streamlit_patches.turn_off()
    log = logging.getLogger("uvicorn.error")
    for error in (WebSocketDisconnected("gone"), ValueError("a fault")):
        try:
            raise error
        except (WebSocketDisconnected, ValueError):
            log.exception("Exception in ASGI application")
    assert [record.exc_info[0] for record in caplog.records] == [ValueError]


def test_no_files_are_watched_for_who_comes_back() -> None:
    assert "register_file_watchers()" in inspect.getsource(websocket_session_manager)
    streamlit_patches.turn_off()
    session = Mock()
    AppSession.register_file_watchers(session)
    assert session.mock_calls == []


@pytest.mark.parametrize("given", [float("inf"), float("-inf"), float("nan"), 1e300, -1])
def test_a_number_field_that_is_asked_for_none_shows_its_default(given: float) -> None:
    streamlit_patches.turn_off()
    field = NumberInputSerde(3, NumberInput.INT, 0, 99)
    assert field.deserialize(given) == 3
    assert field.deserialize(7.0) == 7


def test_the_app_turns_them_off(open_page) -> None:
    logging.getLogger("streamlit").setLevel(logging.ERROR)
    open_page("theory")
    assert net_util.get_external_ip is streamlit_patches._nothing

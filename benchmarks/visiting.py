"""One visitor of a running server, without a browser: Streamlit's own messages over its WebSocket.

A session opens pages, presses buttons, chooses, uploads, and polls where a page asks for it, as the browser's script
does. It costs a hundredth of a browser, so that fifty fit beside the server that they measure.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

import httpx2
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import UploadedFileInfo
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect

PATIENCE = 120.0  # seconds for one run of a page
_TRIGGERS = ("button", "download_button")
_HELD = 2  # runs for which a message may be left out by the server, since it was sent before


class NoAnswer(Exception):
    """A page that did not finish in `PATIENCE` seconds, or a server that closed the connection."""


@dataclass
class Run:
    """One run of a page: which, how long from the request to its end, and what it said was wrong."""

    page: str
    seconds: float
    errors: list[str]


@dataclass
class Session:
    """A visitor. `address` is the server's; use it as an asynchronous context manager."""

    address: str
    origin: str | None = None
    host: str | None = None
    page: str = ""
    query: str = ""
    runs: list[Run] = field(default_factory=list)
    id: str = ""
    overhear: Callable[[bytes], object] = len  # is given every message as it came

    def __post_init__(self) -> None:
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task | None = None
        self._pages: dict[str, str] = {}  # name -> hash
        self._elements: dict[tuple[int, ...], Element] = {}
        self._fresh: dict[tuple[int, ...], Element] = {}
        self._values: dict[str, WidgetState] = {}
        self._known: dict[str, tuple[int, ForwardMsg]] = {}
        self._polls: dict[str, asyncio.Task] = {}
        self._went_to = ""  # the page that the server chose by itself
        self._count = 0
        self._finished = asyncio.Event()
        self._urls: asyncio.Queue = asyncio.Queue()
        self._xsrf = ""

    async def __aenter__(self) -> "Session":
        await self.connect()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.leave()

    async def connect(self, session: str = "") -> None:
        """Open the connection; with the id of an earlier session, as that one."""
        if not self._xsrf:
            async with plain_client() as client:
                answer = await client.get(f"{self.address}/_stcore/health")
            cookie: SimpleCookie = SimpleCookie(answer.headers.get("set-cookie", ""))
            self._xsrf = cookie["_streamlit_xsrf"].value if "_streamlit_xsrf" in cookie else ""
        headers = {"Cookie": f"_streamlit_xsrf={self._xsrf}"} | ({"Host": self.host} if self.host else {})
        self._socket = await connect(
            f"ws{self.address.removeprefix('http')}/_stcore/stream",
            subprotocols=["streamlit", self._xsrf or "none", *([session] if session else [])],  # type: ignore[list-item]
            additional_headers=headers,
            origin=self.origin,  # type: ignore[arg-type]
            max_size=None,
            compression=None,
            proxy=None,
            open_timeout=PATIENCE,
            ping_interval=None,
        )
        self._reader = asyncio.create_task(self._read(self._socket))

    async def leave(self) -> None:
        """Close the connection; the server forgets the session some time later."""
        self._stop_polling()
        if self._socket:
            await self._socket.close()
        if self._reader:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._reader

    async def come_back(self) -> Run:
        """Connect again as the session of before, as a browser does when the network was away."""
        await self.connect(self.id)
        return await self._run()

    # --- acts ---------------------------------------------------------------------------------------------------------

    async def open(self, page: str = "gallery", query: dict[str, str] | str = "") -> Run:
        """Open a page by its address, or go to it from another one."""
        self._values.clear()
        self.page, self.query = page, query if isinstance(query, str) else urlencode(query)
        return await self._run()

    async def press(self, label: str) -> Run:
        """Press a button."""
        return await self._run(WidgetState(id=self.find(label, *_TRIGGERS).id, trigger_value=True))

    async def choose(self, label: str, option: str) -> Run:
        """Choose an option of a select box."""
        return await self._set(WidgetState(id=self.find(label, "selectbox").id, string_value=option))

    async def switch(self, option: str) -> Run:
        """Choose one of a segmented control, wherever it is."""
        for group in self.all("button_group"):
            for one in group.options:
                if one.content == option:
                    state = WidgetState(id=group.id)
                    state.string_array_value.data.append(option)
                    return await self._set(state)
        raise LookupError(f"no option {option!r}")

    async def slide(self, label: str, value: float) -> Run:
        """Move a slider."""
        state = WidgetState(id=self.find(label, "slider").id)
        state.double_array_value.data.append(value)
        return await self._set(state)

    async def type(self, label: str, text: str) -> Run:
        """Type into a field."""
        return await self._set(WidgetState(id=self.find(label, "text_input").id, string_value=text))

    async def tell(self, grid: str, event: str, value: object) -> Run:
        """What the script of a grid of pictures sends of a click or a key."""
        [name] = [one.id for one in self.all("bidi_component") if one.id.endswith(f"grid:{grid}")]
        said = json.dumps([{"event": event, "value": value}])
        return await self._run(WidgetState(id=f"$$STREAMLIT_INTERNAL_KEY_{name}__events", json_trigger_value=said))

    async def upload(self, files: Sequence[tuple[str, bytes]], label: str = "Pictures") -> Run:
        """Give files to an upload field."""
        field_id = self.find(label, "file_uploader").id
        request = BackMsg()
        request.file_urls_request.request_id = "1"
        request.file_urls_request.session_id = self.id
        request.file_urls_request.file_names.extend(name for name, _data in files)
        await self._send(request)
        urls = await asyncio.wait_for(self._urls.get(), PATIENCE)
        state = WidgetState(id=field_id)
        for (name, data), url in zip(files, urls, strict=True):
            answer = await self.put(url.upload_url, name, data)
            if answer.status_code >= 400:
                raise NoAnswer(f"upload of {name}: {answer.status_code} {answer.text}")
            info = UploadedFileInfo(name=name, size=len(data), file_id=url.file_id, file_urls=url)
            state.file_uploader_state_value.uploaded_file_info.append(info)
        return await self._set(state)

    async def put(self, url: str, name: str, data: bytes) -> httpx2.Response:
        """The upload itself."""
        headers = {"X-Xsrftoken": self._xsrf, "Cookie": f"_streamlit_xsrf={self._xsrf}"}
        async with plain_client() as client:
            return await client.put(self.address + url, files={"file": (name, data)}, headers=headers)

    async def settle(self, seconds: float) -> None:
        """Wait while the page polls by itself, at most so long."""
        end = time.monotonic() + seconds
        while self._polls and time.monotonic() < end:
            await asyncio.sleep(0.1)

    # --- what is seen -------------------------------------------------------------------------------------------------

    def all(self, kind: str) -> Iterator[Any]:
        """The page's elements of a kind, in order."""
        for _path, element in sorted(self._elements.items()):
            if element.WhichOneof("type") == kind:
                yield getattr(element, kind)

    def find(self, label: str, *kinds: str) -> Any:
        """The first element whose label begins so."""
        for kind in kinds:
            for one in self.all(kind):
                if one.label.startswith(label):
                    return one
        raise LookupError(f"no {' or '.join(kinds)} {label!r} on {self.page}")

    def errors(self) -> list[str]:
        """Exceptions, and sentences in red, that the page shows."""
        said = [f"{one.type}: {one.message}" for one in self.all("exception")]
        return said + [one.body for one in self.all("alert") if one.format == 1]

    # --- the protocol -------------------------------------------------------------------------------------------------

    async def _set(self, state: WidgetState) -> Run:
        self._values[state.id] = state
        return await self._run()

    async def _run(self, trigger: WidgetState | None = None) -> Run:
        """Ask for a run of the whole page and wait for its end."""
        page, start = self.page, time.perf_counter()
        self._stop_polling()
        self._finished.clear()
        await self._ask(trigger)
        try:
            await asyncio.wait_for(self._finished.wait(), PATIENCE)
        except TimeoutError:
            raise NoAnswer(f"{page} did not finish in {PATIENCE:.0f} s") from None
        if self._reader and self._reader.done():
            raise NoAnswer(f"the server closed the connection at {page}")
        self.runs.append(Run(page, time.perf_counter() - start, self.errors()))
        return self.runs[-1]

    async def _ask(self, trigger: WidgetState | None = None, fragment: str = "") -> None:
        request = BackMsg()
        asked = request.rerun_script
        asked.query_string = self.query
        asked.widget_states.widgets.extend([*self._values.values(), *([trigger] if trigger else [])])
        asked.cached_message_hashes.extend(self._known)
        if self.page in self._pages:
            asked.page_script_hash = self._pages[self.page]
        else:
            asked.page_name = "" if self.page == "gallery" else self.page
        if fragment:
            asked.fragment_id, asked.is_auto_rerun = fragment, True
        asked.context_info.timezone = "UTC"
        asked.context_info.url = f"{self.address}/{self.page}"
        await self._send(request)

    async def _send(self, message: BackMsg) -> None:
        assert self._socket
        await self._socket.send(message.SerializeToString())

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for data in socket:
                message = ForwardMsg()
                message.ParseFromString(data)  # type: ignore[arg-type]
                self.overhear(data)  # type: ignore[arg-type]
                self._take(message)
        finally:
            self._finished.set()

    def _take(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "ref_hash":
            held = ForwardMsg()
            held.CopyFrom(self._known[message.ref_hash][1])
            held.metadata.CopyFrom(message.metadata)
            message, kind = held, held.WhichOneof("type")
        elif message.metadata.cacheable and message.hash:
            self._known[message.hash] = (self._count, message)
        if kind == "delta":
            self._draw(tuple(message.metadata.delta_path), message.delta)
        elif kind == "new_session":
            self._begin(message)
        elif kind == "navigation":
            self._pages = {one.url_pathname or "gallery": one.page_script_hash for one in message.navigation.app_pages}
            there = {hash_: name for name, hash_ in self._pages.items()}
            self._went_to = there.get(message.navigation.page_script_hash, "")
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif kind == "auto_rerun":
            self._poll(message.auto_rerun.fragment_id, message.auto_rerun.interval)
        elif kind == "file_urls_response":
            self._urls.put_nowait(list(message.file_urls_response.file_urls))
        elif kind == "script_finished":
            self._end(message.script_finished)

    def _begin(self, message: ForwardMsg) -> None:
        self.id = message.new_session.initialize.session_id or self.id
        self._count += 1
        if not message.metadata.run.fragment_ids:
            self._fresh = {}
            self._stop_polling()

    def _draw(self, path: tuple[int, ...], delta: Any) -> None:
        if delta.WhichOneof("type") != "new_element":
            return
        for tree in (self._fresh, self._elements):
            tree[path] = delta.new_element

    def _end(self, how: int) -> None:
        if how == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            return
        self._known = {key: held for key, held in self._known.items() if self._count - held[0] < _HELD}
        if how == ForwardMsg.FINISHED_SUCCESSFULLY:
            self._elements = dict(self._fresh)
            if self._went_to:
                self.page = self._went_to
            self._finished.set()

    def _poll(self, fragment: str, interval: float) -> None:
        if fragment in self._polls:
            self._polls.pop(fragment).cancel()

        async def poll() -> None:
            while True:
                await asyncio.sleep(interval)
                await self._ask(fragment=fragment)

        self._polls[fragment] = asyncio.create_task(poll())

    def _stop_polling(self) -> None:
        for task in self._polls.values():
            task.cancel()
        self._polls.clear()


def plain_client() -> httpx2.AsyncClient:
    """For requests without TLS, whose certificates take longer to read than all else that a visitor does."""
    return httpx2.AsyncClient(timeout=PATIENCE, verify=False)

"""A hub on loopback: speaks as much of the Hugging Face hub's HTTP protocol as downloads and the upload of a dataset
need, and counts bytes.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Files by path ("owner/name/file", or any path for a plain server), and what was asked of it."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)  # where another than the true one is to be claimed
    gated: set[str] = field(default_factory=set)  # repositories that ask for a token
    cut_after: int | None = None  # the next body ends after so many bytes, as if the connection was lost
    ignores_ranges: bool = False  # every body is the whole file
    only_files: bool = False  # a mirror, which knows nothing of repositories
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, range
    tokens: list[str | None] = field(default_factory=list)  # of each request
    sent: int = 0  # bytes of bodies
    writers: dict[str, set[str]] = field(default_factory=dict)  # token -> the owners that it may write for
    datasets: dict[str, str] = field(default_factory=dict)  # name -> visibility
    large: bool = False  # uploads go to a store of their own, as the hub has it for Parquet
    blobs: dict[str, bytes] = field(default_factory=dict)  # that store, by SHA-256
    busy: bool = False  # whatever is to be written, it is too much just now
    garbled: bool = False  # its answers are cut to nothing

    def bodies(self) -> list[tuple[str, str]]:
        """Path and range of each download."""
        return [(path, asked) for method, path, asked in self.requests if method == "GET" and "/api/" not in path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_POST(self) -> None:
        sent = self._body()
        self.hub.requests.append((self.command, self.path, ""))
        if self.hub.busy:
            return self._refuse(503, "")
        if self.path == "/api/repos/create":
            return self._create(json.loads(sent))
        if self.path == "/api/validate-yaml":
            return self._say({"errors": [], "warnings": []})
        if asked := re.fullmatch(r"/api/(datasets/[^/]+/[^/]+)/paths-info/[^/]+", self.path):
            return self._paths_info(asked[1], sent)
        name = re.fullmatch(r"(?:/api)?/datasets/([^/]+/[^/.]+)(?:\.git|/).*", self.path)
        if name is None or name[1] not in self.hub.datasets:
            return self._refuse(404, "RepoNotFound")
        if not self._may_write(name[1].split("/")[0]):
            return None
        if "/preupload/" in self.path:
            mode = "lfs" if self.hub.large else "regular"
            files = [
                {
                    "path": one["path"],
                    "uploadMode": mode if one["path"].endswith(".parquet") else "regular",
                    "shouldIgnore": False,
                    "oid": None,
                }
                for one in json.loads(sent)["files"]
            ]
            return self._say({"files": files})
        if self.path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                one | {"actions": {"upload": {"href": f"{self.hub.address}/blobs/{one['oid']}"}}}
                for one in json.loads(sent)["objects"]
            ]
            return self._say({"transfer": "basic", "objects": objects})
        return self._commit(name[1], [json.loads(line) for line in sent.splitlines()])

    def do_PUT(self) -> None:
        content = self._body()
        oid = self.path.rpartition("/")[2]
        if hashlib.sha256(content).hexdigest() != oid:
            return self._refuse(400, "")
        self.hub.blobs[oid] = content
        return self._say({})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _may_write(self, owner: str) -> bool:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.hub.writers:
            self._refuse(401, "")
            return False
        if owner not in self.hub.writers[token]:
            self._refuse(403, "")
            return False
        return True

    def _create(self, asked: dict) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if not self._may_write(asked["organization"]):
            return
        url = f"{self.hub.address}/datasets/{name}"
        if name in self.hub.datasets:
            return self._say({"url": url}, 409)
        assert asked["type"] == "dataset"
        self.hub.datasets[name] = asked.get("visibility", "public")
        self._say({"url": url})

    def _commit(self, name: str, lines: list[dict]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                assert value["encoding"] == "base64"
                self.hub.files[f"datasets/{name}/{value['path']}"] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.hub.files[f"datasets/{name}/{value['path']}"] = self.hub.blobs[value["oid"]]
        self._say({"commitUrl": f"{self.hub.address}/datasets/{name}/commit/{COMMIT}", "commitOid": COMMIT})

    def _say(self, answer: object, status: int = 200) -> None:
        content = b"" if self.hub.garbled else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _answer(self, *, body: bool) -> None:
        asked = self.headers.get("Range", "")
        self.hub.requests.append((self.command, self.path, asked))
        self.hub.tokens.append(self.headers.get("Authorization"))
        asked_for = re.fullmatch(r"/api/models/([^/?]+/[^/?]+)(?:\?.*)?", self.path)
        if asked_for and not self.hub.only_files:
            return self._tell(asked_for[1])
        of_dataset = re.fullmatch(r"/api/(datasets/[^/?]+/[^/?]+)(?:/(revision|tree)/([^?]+))?(?:\?.*)?", self.path)
        if of_dataset:
            return self._list(of_dataset[1], of_dataset[2] or "revision", of_dataset[3] or "main")
        found = re.fullmatch(r"/(.+?/.+?)/resolve/[^/]+/(.+)", self.path)
        repository, name = (found[1], f"{found[1]}/{found[2]}") if found else ("", self.path.removeprefix("/"))
        if repository in self.hub.gated and "Authorization" not in self.headers:
            return self._refuse(403, "GatedRepo")
        if repository and not any(path.startswith(f"{repository}/") for path in self.hub.files):
            return self._refuse(404, "RepoNotFound")
        if name not in self.hub.files:
            return self._refuse(404, "EntryNotFound")
        content = self.hub.files[name]
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked and not self.hub.ignores_ranges else 0
        if start and start >= len(content):
            return self._refuse(416, "RangeNotSatisfiable")
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if repository:
            digest = self.hub.digests.get(name) or hashlib.sha256(content).hexdigest()
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("X-Linked-Etag", f'"{digest}"')
            self.send_header("X-Linked-Size", str(len(content)))
            self.send_header("ETag", f'"{digest}"')
        self.end_headers()
        if body:
            self._send(content[start:])
        return None

    def _send(self, content: bytes) -> None:
        limit, self.hub.cut_after = self.hub.cut_after, None
        part = content if limit is None else content[:limit]
        self.hub.sent += len(part)
        self.wfile.write(part)
        if limit is not None:
            self.close_connection = True

    def _tell(self, repository: str) -> None:
        """What the hub says of a model."""
        self._say({"id": repository, "gated": "auto" if repository in self.hub.gated else False})

    def _paths_info(self, repository: str, sent: bytes) -> None:
        """What the hub says of some paths of a dataset."""
        given = sent.decode()
        paths = json.loads(given)["paths"] if given.startswith("{") else parse_qs(given).get("paths", [])
        self._say([self._entry(repository, path) for path in paths if f"{repository}/{path}" in self.hub.files])

    def _list(self, repository: str, what: str, where: str) -> None:
        """What the hub says of a dataset and its files."""
        paths = [path.removeprefix(f"{repository}/") for path in self.hub.files if path.startswith(f"{repository}/")]
        if not paths:
            return self._refuse(404, "RepoNotFound")
        if what == "tree":
            inside = where.partition("/")[2]
            below = [path for path in paths if not inside or path.startswith(f"{inside}/")]
            return self._say([self._entry(repository, path) for path in below])
        name = repository.removeprefix("datasets/")
        gated = "auto" if repository in self.hub.gated else False
        siblings = [{"rfilename": path} for path in paths]
        return self._say({"id": name, "sha": COMMIT, "gated": gated, "siblings": siblings})

    def _entry(self, repository: str, path: str) -> dict[str, object]:
        content = self.hub.files[f"{repository}/{path}"]
        digest = hashlib.sha256(content).hexdigest()
        lfs = {"oid": digest, "size": len(content), "pointerSize": 100}
        return {"type": "file", "path": path, "oid": digest[:40], "size": len(content), "lfs": lfs}

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub in a thread of its own."""

    class Handler(_Handler):
        """Of this hub alone."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = Handler.hub = Hub(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

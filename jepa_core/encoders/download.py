"""Weights that are not bundled: where they are, how large they are, and how they come to this machine, once.

A timm encoder's weights lie in a repository of the Hugging Face hub and go to the hub's ordinary cache; a few
(I-JEPA's) are a file on a server, and go to torch's. What was downloaded in part is continued, and nothing is used
before its checksum (where the hub names one) or its size was found right.
"""

import hashlib
import io
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import httpx2
import torch.hub
from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.file_download import HfFileMetadata, http_get, repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers, get_session, logging
from tqdm import tqdm

from jepa_core.config import hosted
from jepa_core.errors import EncoderError
from jepa_core.progress import Progress, silent

logging.set_verbosity_error()  # its retries: what fails in the end is said in one sentence

# In the order of preference: the second is a pickle, which is read weights-only.
_FILES = ("model.safetensors", "pytorch_model.bin")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Remote:
    """Where weights are: the first of `files` in a repository of the hub or, without one, a file on a server."""

    repository: str = ""
    revision: str | None = None
    files: tuple[str, ...] = _FILES
    url: str = ""

    def __str__(self) -> str:
        return f"{constants.ENDPOINT}/{self.repository}" if self.repository else self.url


@dataclass(frozen=True)
class Weights:
    """What is known of weights before they are downloaded."""

    size: int | None  # bytes; None where the server does not say
    here: Path | None  # the file, where it is on this machine already
    gated: bool | None = (
        None  # whether their owner gives them only to who accepts the terms; None where it is not known
    )

    @property
    def megabytes(self) -> str:
        """Their size in words."""
        return f"{self.size / 1e6:.1f} MB" if self.size else "a size that the server does not say"

    @property
    def access(self) -> str:
        """Who may have them, in words."""
        if self.here:
            return "on this machine already"
        if self.gated is None:
            return "the server does not say whether they are gated"
        return "gated, and your token may read them" if self.gated else "not gated: anyone may download them"


def remote_of(architecture: str) -> Remote:
    """Where timm says the weights of a model name with its tag are; `EncoderError` if it knows none."""
    import timm

    try:
        config = timm.get_pretrained_cfg(architecture, allow_unregistered=True)
    except RuntimeError:  # an architecture without weights of this tag
        config = None
    if config is None or not config.has_weights:
        raise EncoderError(
            f"timm has no weights for {architecture!r}; a name with the tag of its weights is accepted, as in "
            "vit_small_patch14_dinov2.lvd142m; timm.list_pretrained() lists them."
        )
    if config.hf_hub_id:
        repository, _at, revision = config.hf_hub_id.partition("@")
        if config.hf_hub_filename:
            named = Path(config.hf_hub_filename)
            return Remote(repository, revision or None, (str(named.with_suffix(".safetensors")), str(named)))
        return Remote(repository, revision or None)
    assert isinstance(config.url, str)
    return Remote(url=config.url)


def look_up(remote: Remote) -> Weights:
    """Size and place of the weights, and whether they are gated. Asks the server only for what is not here.

    Raises `EncoderError` where it cannot be reached, and for weights that are gated without a token that may read them.
    """
    path = at_hand(remote)
    if path is not None:
        return Weights(path.stat().st_size, path)
    _check_allowed(remote)
    with _in_words(remote):
        if not remote.repository:
            return Weights(_length(remote.url), None, gated=False)
        _name, file = _on_hub(remote)
        return Weights(file.size, None, _is_gated(remote))


def _on_hub(remote: Remote) -> tuple[str, HfFileMetadata]:
    """The best of the repository's files with weights, and what the hub says of it."""
    for name in remote.files:
        try:
            return name, get_hf_file_metadata(hf_hub_url(remote.repository, name, revision=remote.revision))
        except EntryNotFoundError as error:
            if isinstance(error, LocalEntryNotFoundError):  # no network: not "no such file"
                raise
    raise EncoderError(
        f"The repository {remote} holds no weights; one with {' or '.join(remote.files)} is accepted; check the name."
    )


def _check_allowed(remote: Remote) -> None:
    """The network, and the token of whoever runs the server, are not for its visitors."""
    if hosted():
        raise EncoderError(
            f"The weights at {remote} are not on this machine, and this server downloads nothing for its visitors "
            "(JEPA_DATA_ROOTS is set); an encoder that it lists is accepted; choose one."
        )


def _is_gated(remote: Remote) -> bool | None:
    try:
        info = HfApi(endpoint=constants.ENDPOINT).model_info(remote.repository, expand=["gated"], timeout=10)
    except (HfHubHTTPError, httpx2.TransportError):  # a mirror that only serves files
        return None
    return None if info.gated is None else bool(info.gated)


def file_names(architecture: str) -> tuple[str, ...]:
    """What the file with the weights may be called in a repository of the hub, the best first."""
    try:
        return tuple(dict.fromkeys((*remote_of(architecture).files, *_FILES)))
    except EncoderError:  # none are published
        return _FILES


def at_hand(remote: Remote) -> Path | None:
    """The file on this machine, whole; None if it is not here. Asks no server."""
    if not remote.repository:
        path = _torch_file(remote.url)
        return path if path.exists() else None
    for name in remote.files:
        found = try_to_load_from_cache(remote.repository, name, revision=remote.revision)
        if isinstance(found, str):
            return Path(found)
    return None


def fetch(remote: Remote, progress: Progress = silent) -> Path:
    """The file with the weights, downloaded if it is not here yet. A download that was cut goes on where it was.

    Raises `EncoderError` without a network, without room on the disk, for a repository that is gated or gone, and for a
    file that is not what its checksum says.
    """
    path = at_hand(remote)
    if path is not None:
        return path
    _check_allowed(remote)
    if constants.HF_HUB_OFFLINE:
        raise EncoderError(
            f"The weights at {remote} are not on this machine, and HF_HUB_OFFLINE forbids to download them; weights in "
            "the hub's cache are accepted; unset it, or copy them there."
        )
    with _in_words(remote):
        return _from_server(remote.url, progress) if not remote.repository else _from_hub(remote, progress)


def _from_hub(remote: Remote, progress: Progress) -> Path:
    name, file = _on_hub(remote)
    assert file.etag is not None
    assert file.size is not None
    blob = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=remote.repository, repo_type="model") / "blobs"
    headers = build_hf_headers()
    if urlparse(file.location).netloc != urlparse(constants.ENDPOINT).netloc:
        headers.pop("authorization", None)  # a token is for the hub alone, not for where it sends us
    # The hub's own download starts anew after a cut; given the whole file, it only enters it into its cache.
    _download(file.location, blob / file.etag, file.size, progress, headers)
    return Path(hf_hub_download(remote.repository, name, revision=remote.revision))


def _from_server(url: str, progress: Progress) -> Path:
    """A file of a server into torch's cache, as torch.hub would."""
    path = _torch_file(url)
    _download(url, path, _length(url), progress, {})
    return path


def _download(url: str, path: Path, size: int, progress: Progress, headers: dict[str, str]) -> None:
    """A file of `size` bytes to `path`, going on with what a cut download left, by one process at a time.

    A name of 64 hexadecimal digits is the SHA-256 that the file must have.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.incomplete")
    with WeakFileLock(path.with_name(f"{path.name}.lock")):
        if path.exists():  # another process was faster
            return
        with part.open("ab") as file:
            if file.tell() > size:  # of another file that had this name
                file.truncate(0)
            if file.tell() < size:
                bar = _reporting(progress)
                http_get(url, file, resume_size=file.tell(), expected_size=size, headers=headers, tqdm_class=bar)
        if _SHA256.fullmatch(path.name) and _sha256(part) != path.name:
            part.unlink()
            raise EncoderError(
                f"The weights at {url} arrived damaged: their SHA-256 is not what the hub says; only an undamaged file "
                "is accepted, so it was removed; download it again."
            )
        part.rename(path)


def _length(url: str) -> int:
    answer = get_session().head(url, follow_redirects=True, timeout=constants.DEFAULT_ETAG_TIMEOUT)
    return int(answer.raise_for_status().headers["Content-Length"])


def _torch_file(url: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(urlparse(url).path)  # noqa: PTH119 (a URL)


def _reporting(progress: Progress) -> type[tqdm]:
    class Reporting(tqdm):
        def __init__(self, *args: object, **kwargs: object) -> None:
            kwargs.pop("name", None)  # of the hub's own bars
            super().__init__(*args, **{**kwargs, "file": io.StringIO()})

        def update(self, n: float | None = 1) -> bool | None:
            updated = super().update(n)
            progress(int(self.n), int(self.total or 0))
            return updated

    return Reporting


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _in_words(remote: Remote) -> Iterator[None]:
    """What can go wrong on the way, as one sentence."""
    try:
        yield
    except GatedRepoError as error:
        raise EncoderError(
            f"The weights at {remote} are gated: their owner gives them to those who accept the terms; a token of a "
            "person who has is accepted; accept the terms on that page, then run 'hf auth login'."
        ) from error
    except RepositoryNotFoundError as error:
        raise EncoderError(
            f"There is no repository {remote}, or it is private; a public one, or one that your token may read, is "
            "accepted; check the name, or run 'hf auth login'."
        ) from error
    except (OfflineModeIsEnabled, LocalEntryNotFoundError, httpx2.TransportError) as error:
        raise EncoderError(
            f"The weights at {remote} cannot be reached; a machine with a network, or one with the weights in its "
            "cache, is accepted; connect it, or copy the weights there. What has arrived is kept."
        ) from error
    except (HfHubHTTPError, httpx2.HTTPStatusError) as error:
        raise EncoderError(
            f"The server of the weights at {remote} answered {error.response.status_code}; an answer of 200 is "
            "accepted; try again later."
        ) from error
    except OSError as error:
        room = shutil.disk_usage(Path(constants.HF_HUB_CACHE).anchor).free / 1e9
        raise EncoderError(
            f"The weights at {remote} cannot be written ({error.strerror or error}; {room:.1f} GB are free); a folder "
            "with room for them is accepted; make room, or set HF_HOME and TORCH_HOME to another disk."
        ) from error

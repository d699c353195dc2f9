"""The sets of the catalog that the Hugging Face hub serves: their files into the hub's own cache, and what is there.

The hub's libraries start a cut download anew, and fetch every split of a set where one was asked for (of ImageNet, all
training photos). So the files of one split are fetched by `jepa_core.datasets.fetching` and entered into the ordinary
caches by the libraries. `hub.json` in the cache folder says where each set lies, so that opening it asks no server.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jepa_core import files
from jepa_core.config import cache_dir
from jepa_core.datasets import fetching
from jepa_core.datasets.readers.names import HUB
from jepa_core.errors import DatasetError
from jepa_core.progress import Cancelled, Progress

if TYPE_CHECKING:
    import datasets

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".h5", ".hdf5")
_NAMED = re.compile(r"(?:.*/)?([^/]+?)-\d+-of-\d+(?:-\w+)?\.parquet")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class HubName(NamedTuple):
    """What a name asks for: a split of a repository's configuration, or a file in it."""

    repository: str
    config: str | None
    split: str
    file: str  # "" for a split


def parsed(name: str) -> HubName:
    """The parts of "hub:OWNER/NAME/SPLIT", "hub:OWNER/NAME/CONFIG/SPLIT" and "hub:OWNER/NAME/.../FILE.zip"."""
    owner, repository, *inside = name.removeprefix(HUB).split("/")
    whole = f"{owner}/{repository}"
    if inside[-1].endswith(_ARCHIVES):
        return HubName(whole, None, "", "/".join(inside))
    return HubName(whole, inside[0] if len(inside) == 2 else None, inside[-1], "")


def is_here(name: str) -> bool:
    """Whether all files of a set are here. Asks no server."""
    found = where(name)
    return bool(found) and all(files.is_file(path) for path in found)


def where(name: str) -> list[Path]:
    """The files of a set that was downloaded: an archive, or the tables that the datasets library made; else none."""
    return [Path(path) for path in _index().get(name, ())]


def _index_path() -> Path:
    return cache_dir() / "datasets" / "hub.json"


def _index() -> dict[str, list[str]]:
    try:
        found = json.loads(files.read_file(_index_path()))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _record(name: str, paths: list[Path]) -> None:
    path = _index_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    index = _index() | {name: [str(one) for one in paths]}
    files.replace_file(path, lambda to: to.write_text(json.dumps(index, indent=2), encoding="utf-8"))


def table_of(paths: list[Path]) -> "datasets.Dataset":
    """The table that the datasets library made of a set."""
    import datasets as hub

    return hub.concatenate_datasets([hub.Dataset.from_file(str(path)) for path in paths])


def download(name: str, title: str, progress: Progress, cancelled: Cancelled) -> None:
    """Bring a set to this machine. Errors: those of `fetching`, and `DatasetError` for one that is gated or gone."""
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.file_download import repo_folder_name

    asked = parsed(name)
    with _in_words(asked.repository):
        revision, paths = _listed(asked)
        sources = [_source(asked.repository, path, revision) for path in paths]
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=asked.repository, repo_type="dataset")
    blobs = [(source, folder / "blobs" / etag) for source, etag in sources]
    fetching.fetch_all(blobs, folder, title, progress, cancelled)
    with _in_words(asked.repository):
        # Given the whole files, it only enters them into its cache.
        entered = [
            Path(hf_hub_download(asked.repository, path, repo_type="dataset", revision=revision)) for path in paths
        ]
        _record(name, entered if asked.file else _made_table(entered, asked))


def size_of(name: str) -> int | None:
    """Bytes of a set's files, as the hub says. Errors: those of `download`."""
    asked = parsed(name)
    with _in_words(asked.repository):
        revision, paths = _listed(asked)
        sizes = [_source(asked.repository, path, revision)[0].size for path in paths]
    return None if None in sizes else sum(size for size in sizes if size)


def _listed(asked: HubName) -> tuple[str, list[str]]:
    """The revision of a repository, and the paths of a set's files in it, which are named after their split."""
    from huggingface_hub import HfApi, constants

    said = HfApi(endpoint=constants.ENDPOINT).dataset_info(asked.repository)
    paths = sorted(file.rfilename for file in said.siblings or ())
    if asked.file:
        found = [path for path in paths if path == asked.file]
    else:
        found = [path for path in paths if _NAMED.fullmatch(path) and _NAMED.fullmatch(path)[1] == asked.split]  # type: ignore[index]
    if not found:
        raise DatasetError(
            f"The dataset {asked.repository} has no {asked.file or f'parquet files of the split {asked.split!r}'}; one "
            "with them is accepted; its page on the hub says what it has now."
        )
    return str(said.sha), found


def _source(repository: str, path: str, revision: str) -> tuple[fetching.Source, str]:
    """Where a file of a repository comes from, and the name that the hub's cache has for its content."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(repository, path, repo_type="dataset", revision=revision)
    said = get_hf_file_metadata(url)
    assert said.etag is not None
    checksum = ("sha256", said.etag) if _SHA256.fullmatch(said.etag) else ("", "")
    # The token goes to the hub alone: the client drops it where it is sent on to another host.
    return fetching.Source((url,), checksum, build_hf_headers(), said.size), said.etag


def _made_table(paths: list[Path], asked: HubName) -> list[Path]:
    """The files of the table that the datasets library makes of parquet files."""
    import datasets as hub
    import pyarrow.parquet

    features = None
    if not (pyarrow.parquet.read_schema(paths[0]).metadata or {}).get(b"huggingface"):
        # Files of 2022 do not say which of their columns are pictures and classes; the repository does.
        features = _declared(asked.repository)
    files_of = {asked.split: [str(path) for path in paths]}
    table = hub.load_dataset("parquet", data_files=files_of, split=asked.split, features=features)
    return [Path(one["filename"]) for one in table.cache_files]


def _declared(repository: str) -> "datasets.Features | None":
    """The columns of a set as its page, or a file that older sets have beside it, declares them."""
    import datasets as hub
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCard, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    with suppress(EntryNotFoundError):
        page = DatasetCard.load(hf_hub_download(repository, "README.md", repo_type="dataset"))
        for info in DatasetInfosDict.from_dataset_card_data(page.data).values():
            return info.features
    with suppress(EntryNotFoundError):
        beside = Path(hf_hub_download(repository, "dataset_infos.json", repo_type="dataset"))
        for said in json.loads(beside.read_text(encoding="utf-8")).values():
            return hub.DatasetInfo.from_dict(said).features
    return None


@contextmanager
def _in_words(repository: str) -> Iterator[None]:
    """What can go wrong between the hub and its libraries, as one sentence."""
    import httpx2
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

    try:
        yield
    except DatasetError:
        raise
    except GatedRepoError as error:
        raise DatasetError(
            f"The dataset {repository} is gated: its owner gives it to those who accept the terms; a token of a person "
            f"who has is accepted; accept them on https://huggingface.co/datasets/{repository}, then run "
            "'hf auth login'."
        ) from error
    except RepositoryNotFoundError as error:
        raise DatasetError(
            f"The dataset {repository} is not on the hub, or is private; a public one, or one that your token may "
            "read, is accepted; check the name, or run 'hf auth login'."
        ) from error
    except HfHubHTTPError as error:
        raise DatasetError(
            f"The hub answered {error.response.status_code} for the dataset {repository}; an answer of 200 is "
            "accepted; try again later."
        ) from error
    except (httpx2.HTTPError, OfflineModeIsEnabled, ConnectionError, OSError) as error:
        raise DatasetError(
            f"The hub cannot be reached for the dataset {repository}; a machine with a network is accepted; connect it "
            "and try again. What has arrived is kept."
        ) from error

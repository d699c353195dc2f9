"""Parts of a run: Parquet files in a folder or bucket, each with finished rows of a dataset, before a store has them.

Whatever fsspec opens can hold them. A file is there whole or not at all: on a disk it is renamed when it is written, in
a bucket it is put at once. Its name ends in the digest of its bytes, by which damage is told; nothing is ever
overwritten by other content, so that any number of processes, machines and repetitions write into the same folder.
"""

import io
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

import fsspec
import pyarrow.parquet as pq

from jepa_core import files
from jepa_core.datasets.spec import Item
from jepa_core.errors import StoreError, TableError
from jepa_core.images import digest
from jepa_core.store import result_tables
from jepa_core.store.records import Member, ResultConfig
from jepa_core.store.result_tables import ResultTable

_DIGITS = 16  # of a digest, in names


@dataclass(frozen=True)
class Listing:
    """The pictures that a part is of, as they were listed: by which rows of different parts belong together.

    Attributes:
        dataset: its name.
        encoder: the encoder's name; what tells weights apart is the config.
        size: how many pictures the whole dataset has; 0 where only some of them were asked for.
        stamp: another one where the files, or what draws the pictures, may have changed; names of the same stamp are
            the same pictures. "" where that cannot be told.
    """

    dataset: str
    encoder: str
    size: int
    stamp: str


@dataclass
class Known:
    """What the files of a config have: digests of images with a result, and members of the listing that was asked."""

    digests: set[str] = field(default_factory=set)
    members: dict[str, Member] = field(default_factory=dict)

    def has(self, item: Item) -> bool:
        """Whether a file has the picture's result, and the same listing says so: then it need not be read."""
        one = self.members.get(item.name)
        return one is not None and (one.position, one.label) == (item.position, item.label) and self.is_written(one)

    def is_written(self, one: Member) -> bool:
        """Whether a file has this very member, and one its result."""
        return one.digest in self.digests and self.members.get(one.name) == one


@dataclass(frozen=True, eq=False)
class Part:
    """One file in memory, with when it was written, in seconds since 1970."""

    table: ResultTable
    listing: Listing
    written: float


class PartFolder:
    """The folder or bucket at an address, such as "parts" or "s3://bucket/parts".

    Raises `StoreError` for an address that cannot be opened here, now or when something is read or written.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        try:
            self._files, self._root = fsspec.core.url_to_fs(address)
        except (ImportError, ValueError, OSError) as error:
            raise StoreError(
                f"Parts cannot be kept at {address!r} ({error}); a folder, or an address that fsspec opens here, is "
                "accepted; install what it names, or choose a folder."
            ) from error
        self._local = "file" in self._files.protocol

    def write(self, table: ResultTable, listing: Listing) -> None:
        """Write rows as one new file, which is there whole or not at all."""
        told = {"listing": json.dumps(asdict(listing)), "written": repr(time.time())}
        buffer = io.BytesIO()
        first = min(member.position for _dataset, member in table.members)
        arrow = result_tables.to_arrow(table)
        result_tables.write(arrow.replace_schema_metadata({**arrow.schema.metadata, **told}), buffer)
        data = buffer.getvalue()
        folder = f"{self._root.rstrip('/')}/{table.config.key[:_DIGITS]}"
        path = f"{folder}/{first:010d}-{digest(data)[:_DIGITS]}.parquet"
        try:
            if self._local:
                Path(folder).mkdir(parents=True, exist_ok=True)
                files.replace_file(Path(path), lambda to: to.write_bytes(data))
            else:
                self._files.pipe_file(path, data)
        except Exception as error:  # every kind of bucket has errors of its own
            raise StoreError(
                f"A part cannot be written to {self.address} ({_why(error)}); a place with room that may be written to "
                "is accepted; what was written before stays, and the same command goes on from there."
            ) from error

    def paths(self, config: ResultConfig | None = None) -> list[str]:
        """The files of a config, or all, by name: in the order of their first pictures."""
        folder = self._root.rstrip("/") + (f"/{config.key[:_DIGITS]}" if config else "")
        try:
            self._files.invalidate_cache()
            found = self._files.find(folder)
        except FileNotFoundError:
            return []
        except Exception as error:
            raise StoreError(
                f"The parts at {self.address} cannot be listed ({_why(error)}); a place that may be read is accepted; "
                "check the address."
            ) from error
        names = [path for path in found if path.endswith(".parquet")]
        return sorted(path for path in names if not PurePosixPath(path).name.startswith("."))

    def read(self, path: str) -> Part:
        """One of `paths`. Raises `TableError` for a file that is not what was written."""
        return _part(*self._parquet(path))

    def parts(self, config: ResultConfig | None = None) -> Iterator[Part | TableError]:
        """All files that can be read, and an error for each of the others."""
        for path in self.paths(config):
            try:
                yield self.read(path)
            except TableError as error:
                yield error

    def known(self, config: ResultConfig, listing: Listing) -> Known:
        """What need not be computed again. Of each file only digests and places are read; a damaged one has nothing."""
        known = Known()
        for path in self.paths(config):
            try:
                file, name = self._parquet(path)
                columns = [one for one in file.schema_arrow.names if one not in ("sizes", "pivots")]
                has_results = "spectrum" in columns
                part = _part(file, name, columns)
            except TableError:
                continue
            if part.table.config != config:
                continue
            if has_results:
                known.digests |= {result.digest for result in part.table.results}
            if listing.stamp and part.listing.stamp == listing.stamp and part.listing.dataset == listing.dataset:
                known.members |= {member.name: member for _dataset, member in part.table.members}
        return known

    def _parquet(self, path: str) -> tuple[pq.ParquetFile, str]:
        name = PurePosixPath(path).name
        try:
            data = files.read_file(Path(path)) if self._local else self._files.cat_file(path)
            if not name.endswith(f"-{digest(data)[:_DIGITS]}.parquet"):
                raise ValueError("its bytes are not those that were written")
            return pq.ParquetFile(io.BytesIO(data)), name
        except Exception as error:  # whatever a damaged file makes of a reader, and a bucket of a question
            raise _damaged(name, error) from error


def _part(file: pq.ParquetFile, name: str, columns: list[str] | None = None) -> Part:
    try:
        table = result_tables.from_arrow(file.read(columns=columns))
        told = table.told
        return Part(table, Listing(**json.loads(told["listing"])), float(told["written"]))
    except Exception as error:
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> TableError:
    return TableError(
        f"The part {name} cannot be read ({_why(error)}); a file that 'score --part' wrote is accepted; the others are "
        "taken, and the same 'score --part' computes again what was in it."
    )


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__

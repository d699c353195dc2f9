"""The store of results: one SQLite file in WAL mode, so several processes may score and read at once.

What is stored for an exact result is its spectrum; scores are derived from it (`jepa_core.jacobian.spectrum`). A
result's key holds everything that changes it: the weights' digest, the resolved transform, the output, the method, the
precision, the view, and the digest of the image's bytes. Rows are written a batch at a time in one transaction, so a
killed run loses at most the batch in flight.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np
from numpy import ndarray

from jepa_core.config import cache_dir
from jepa_core.errors import StoreError
from jepa_core.jacobian.spectrum import Rank
from jepa_core.keys import make_key
from jepa_core.store.database import BRIEFLY, Database
from jepa_core.store.records import Member, Result, ResultConfig, Rows
from jepa_core.store.schema import insert, row_sum, summed

BLOCK = 4096
"""Images whose spectra are read together."""
MEMBER = "dataset, members.name, position, label, members.digest, members.crc"
"""The columns by which a member is told to be whole."""


def _floats(blobs: Sequence[bytes]) -> ndarray:
    if not blobs:
        return np.empty((0, 0), dtype=np.float32)
    return np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(blobs), -1)


def _bytes(values: ndarray) -> bytes:
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def _parts(digests: Sequence[str]) -> Iterator[Sequence[str]]:
    """SQLite limits the values of one statement."""
    for start in range(0, len(digests), 500):
        yield digests[start : start + 500]


class Store(Database):
    """Open (and create) the store at `path`; the cache folder's for None.

    `notice` is a sentence to show when the file was damaged and has been set aside, else None.
    Raises `StoreError` where the file cannot be opened or created, and where damage is met.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(path or cache_dir() / "store.sqlite")

    def whole(self, table: str, rows: Iterable[tuple]) -> list[tuple]:
        """Rows given with their sums, without them. Raises `StoreError` where one is not what was written."""
        found = []
        for *row, crc in rows:
            if crc is not None and row_sum(*row) != crc:
                raise self.suspect(f"a row of its table {table} is not what was written")
            found.append(tuple(row))
        return found

    def whole_members(self, rows: Iterable[tuple]) -> list[Member]:
        """`whole` of rows that have the columns of `MEMBER`."""
        return [Member(*row) for _dataset, *row in self.whole("members", rows)]

    def config_id(self, cursor: sqlite3.Cursor, config: ResultConfig) -> int:
        """The number of a config, given to it now if it is new."""
        cursor.execute(
            "INSERT OR IGNORE INTO configs (key, weights, transform, output, method, precision, view) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (config.key, *astuple(config)),
        )
        return cursor.execute("SELECT id FROM configs WHERE key = ?", (config.key,)).fetchone()[0]

    def put(self, config: ResultConfig, results: Iterable[Result]) -> None:
        """Write results in one transaction. A result that is there already stays as it is."""
        results = list(results)
        with self.transaction() as cursor:
            config_id = self.config_id(cursor, config)
            cursor.executemany(
                insert("results"),
                [summed(config_id, r.digest, _bytes(r.spectrum), r.squared_norm, r.seconds, r.device) for r in results],
            )
            cursor.executemany(
                insert("embeddings"),
                [summed(config.space, r.digest, _bytes(r.embedding)) for r in results],
            )

    def put_members(self, dataset: str, members: Iterable[Member]) -> None:
        """Record which images a dataset has; a name that is there already gets its new digest."""
        with self.transaction() as cursor:
            cursor.executemany(
                insert("members", replace=True),
                [summed(dataset, one.name, one.position, one.label, one.digest) for one in members],
            )

    def forget_members(self, dataset: str, names: Iterable[str]) -> None:
        """Forget images that a dataset no longer has. Their results stay: they belong to the digest."""
        with self.transaction() as cursor:
            cursor.executemany(
                "DELETE FROM members WHERE dataset = ? AND name = ?", [(dataset, name) for name in names]
            )

    def members(self, dataset: str) -> list[Member]:
        """The recorded images of a dataset, in order."""
        return self.whole_members(
            self.select(f"SELECT {MEMBER} FROM members WHERE dataset = ? ORDER BY position", dataset)
        )

    def rows(self, config: ResultConfig, dataset: str, first: int = -1) -> Rows:
        """The results of a config on the recorded images of a dataset, in order: the `first` so many, or all."""
        joined = self.select(
            f"SELECT {MEMBER}, config, results.digest, spectrum, squared_norm, seconds, device, results.crc "
            "FROM members JOIN results ON results.digest = members.digest "
            "WHERE dataset = ? AND config = (SELECT id FROM configs WHERE key = ?) ORDER BY position LIMIT ?",
            dataset,
            config.key,
            first,
        )
        members = self.whole_members(row[:6] for row in joined)
        found = self.whole("results", (row[6:] for row in joined))
        return Rows(
            members=members,
            spectra=_floats([row[2] for row in found]),
            squared_norm=np.array([row[3] for row in found], dtype=np.float64),
            seconds=np.array([row[4] for row in found], dtype=np.float64),
            device=[row[5] for row in found],
        )

    def row_blocks(self, config: ResultConfig, dataset: str, size: int = BLOCK) -> Iterator[Rows]:
        """`rows` in parts of at most so many images: spectra of a large dataset need not be in memory together."""
        members = self.members(dataset)
        for first in range(0, len(members), size):
            part = members[first : first + size]
            found = self._results(config, [member.digest for member in part])
            there = [member for member in part if member.digest in found]
            if there:
                spectra, norms, seconds, devices = zip(*(found[member.digest] for member in there), strict=True)
                yield Rows(there, _floats(spectra), np.array(norms), np.array(seconds), list(devices))

    def get(self, config: ResultConfig, digest: str) -> Result | None:
        """The result of one image, or None."""
        found = self.whole(
            "results",
            self.select(
                "SELECT config, digest, spectrum, squared_norm, seconds, device, crc FROM results "
                "WHERE config = (SELECT id FROM configs WHERE key = ?) AND digest = ?",
                config.key,
                digest,
            ),
        )
        vectors = self._vectors("embeddings", config.space, [digest]) if found else {}
        if not vectors:
            return None
        _config, _digest, spectrum, *rest = found[0]
        return Result(digest, _floats([spectrum])[0], _floats([vectors[digest]])[0], *rest)

    def done(self, config: ResultConfig, digests: Sequence[str]) -> set[str]:
        """Which of the images have a result."""
        return self.there("results", config, digests)

    def there(self, table: str, config: ResultConfig, digests: Sequence[str]) -> set[str]:
        """Which of the images have a row of a config in a table. Only theirs are looked at."""
        found: set[str] = set()
        for part in _parts(digests):
            marks = ",".join("?" * len(part))
            sql = f"SELECT digest FROM {table} WHERE config = (SELECT id FROM configs WHERE key = ?)"
            found |= {digest for (digest,) in self.select(f"{sql} AND digest IN ({marks})", config.key, *part)}
        return found

    def there_in(self, table: str, space: str, digests: Sequence[str]) -> set[str]:
        """Which of the images have a row of a space in a table of vectors."""
        found: set[str] = set()
        for part in _parts(digests):
            marks = ",".join("?" * len(part))
            sql = f"SELECT digest FROM {table} WHERE space = ? AND digest IN ({marks})"
            found |= {digest for (digest,) in self.select(sql, space, *part)}
        return found

    def scored(self, config: ResultConfig, dataset: str) -> dict[str, str]:
        """Name -> digest of a dataset's recorded images that have a result."""
        return dict(
            self.select(
                "SELECT name, members.digest FROM members JOIN results ON results.digest = members.digest "
                "WHERE dataset = ? AND config = (SELECT id FROM configs WHERE key = ?) ORDER BY position",
                dataset,
                config.key,
            )
        )

    def stamp(self, config: ResultConfig, dataset: str) -> tuple:
        """Another one after any change to what `scored` and `rows` give, in a single row.

        Python lets another thread run after each row of an answer, so among busy threads a thousand rows take seconds.
        """
        [found] = self.select(
            "SELECT COUNT(*), SUM(members.crc), SUM(results.crc), SUM(position) FROM members "
            "JOIN results ON results.digest = members.digest "
            "WHERE dataset = ? AND config = (SELECT id FROM configs WHERE key = ?)",
            dataset,
            config.key,
        )
        return found

    def spectra(self, config: ResultConfig, digests: Sequence[str]) -> dict[str, ndarray]:
        """The spectra of images by digest; an image without a result is left out."""
        return {digest: _floats([row[0]])[0] for digest, row in self._results(config, digests).items()}

    def _results(self, config: ResultConfig, digests: Sequence[str]) -> dict[str, tuple[bytes, float, float, str]]:
        """Spectrum, squared norm, seconds and device of images by digest, as they are stored."""
        found: dict[str, tuple[bytes, float, float, str]] = {}
        columns = "config, digest, spectrum, squared_norm, seconds, device, crc"
        for part in _parts(digests):
            marks = ",".join("?" * len(part))
            sql = f"SELECT {columns} FROM results WHERE config = (SELECT id FROM configs WHERE key = ?)"
            rows = self.select(f"{sql} AND digest IN ({marks})", config.key, *part)
            found |= {digest: tuple(rest) for _config, digest, *rest in self.whole("results", rows)}
        return found

    def embeddings(self, space: str, digests: Sequence[str]) -> ndarray:
        """The embeddings (n, K) of images, in the order given. Raises `StoreError` if one is missing."""
        found = self._vectors("embeddings", space, digests)
        missing = [digest for digest in digests if digest not in found]
        if missing:
            raise StoreError(
                f"{len(missing)} of {len(digests)} embeddings are not in the store; score the images first."
            )
        return _floats([found[digest] for digest in digests])

    def _vectors(self, table: str, space: str, digests: Sequence[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for part in _parts(digests):
            marks = ",".join("?" * len(part))
            sql = f"SELECT space, digest, vector, crc FROM {table} WHERE space = ? AND digest IN ({marks})"
            found |= {row[1]: row[2] for row in self.whole(table, self.select(sql, space, *part))}
        return found

    def put_measures(self, space: str, measured: Mapping[str, ndarray]) -> None:
        """Keep the measures of images by their digests; those that are there already are replaced."""
        with self.transaction() as cursor:
            cursor.executemany(
                insert("measures", replace=True),
                [summed(space, digest, _bytes(vector)) for digest, vector in measured.items()],
            )

    def measures(self, space: str, digests: Sequence[str]) -> dict[str, ndarray]:
        """The kept measures of images, by digest; an image without any is left out."""
        found = self._vectors("measures", space, digests)
        return {digest: _floats([vector])[0] for digest, vector in found.items()}

    def put_crops(self, transform: str, pictures: Mapping[str, bytes]) -> None:
        """Keep pictures made from images, by the digests of these and what was done to them.

        They can be made again, so nobody waits for it: `LockedStore` comes at once where another program writes.
        """
        key = make_key(transform)
        with self.transaction(BRIEFLY) as cursor:
            cursor.executemany(
                insert("crops", replace=True), [summed(key, digest, picture) for digest, picture in pictures.items()]
            )

    def crops(self, transform: str, digests: Sequence[str]) -> dict[str, bytes]:
        """The kept pictures of images under a transform, by digest; an image without a whole one is left out."""
        found: dict[str, bytes] = {}
        for part in _parts(digests):
            marks = ",".join("?" * len(part))
            sql = f"SELECT transform, digest, png, crc FROM crops WHERE transform = ? AND digest IN ({marks})"
            rows = self.select(sql, make_key(transform), *part)
            found |= {row[1]: row[2] for row in rows if row[3] in (None, row_sum(*row[:3]))}
        return found

    def put_rank(self, space: str, rank: Rank, *, over: bool = False) -> Rank:
        """Record the rank that images of an embedding space show, unless one is there (or `over` it); return it."""
        with self.transaction() as cursor:
            word = "REPLACE" if over else "IGNORE"
            cursor.execute(f"INSERT OR {word} INTO ranks VALUES (?, ?, ?)", (space, rank.rank, rank.reason))
        return self.rank(space) or rank

    def rank(self, space: str) -> Rank | None:
        """The rank that images of an embedding space showed, or None."""
        found = self.select("SELECT rank, reason FROM ranks WHERE space = ?", space)
        return Rank(*found[0]) if found else None

    def shipped(self, file: str) -> str | None:
        """The digest of a shipped table that was read in, or None."""
        found = self.select("SELECT digest FROM shipped WHERE file = ?", file)
        return found[0][0] if found else None

    def put_shipped(self, file: str, digest: str) -> None:
        """Record that a shipped table was read in."""
        with self.transaction() as cursor:
            cursor.execute("INSERT OR REPLACE INTO shipped VALUES (?, ?)", (file, digest))

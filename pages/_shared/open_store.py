"""The store that pages use: the one in the cache folder, or a temporary one for as long as that cannot be used."""

import shutil
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from jepa_core import files
from jepa_core import notices as core_notices
from jepa_core.config import cache_dir
from jepa_core.errors import LockedStore, StoreError
from jepa_core.store import maintenance, shipped
from jepa_core.store.results import Store

_RETRY = 5.0  # seconds after which a store that could not be used is tried again
_REFUSED = 2.0  # seconds for which a lock that was met is not waited for again
_READING_IN = 0.5  # seconds that the shipped tables wait for another writer
_COPIED = 2**28  # bytes of a store that is copied into a temporary one
_ROOM = 2**25  # bytes that must have become free before a full disk is tried again


class SharedStore:
    """Opens the store when it is first asked for, and looks after it from then on."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._store: Store | None = None
        self._instead = ""  # why a temporary one is used
        self._problems: list[str] = []
        self._read_in = 0  # the generation of the store that the shipped tables were read into
        self._tried = float("-inf")
        self._refused: LockedStore | None = None
        self._free: int | None = None  # bytes on the disk when it was too small for the shipped tables

    def store(self) -> Store:
        """The store. Raises `LockedStore` where another program keeps it for itself."""
        with self._lock:
            if self._store is None:
                self._open()
            assert self._store is not None
            return self._store

    def notices(self) -> list[str]:
        """See whether the store is still what it was; sentences that a person should know. Once for each page run."""
        with self._lock:
            with suppress(LockedStore):  # whoever reads says it
                self._look()
            said = [self._instead] if self._instead else []
            if self._store is not None and self._store.notice:
                said.append(self._store.notice)
            return said + self._problems + core_notices.all_said()

    def _look(self) -> None:
        if self._instead and time.monotonic() - self._tried > _RETRY:
            self._go_back()
        store = self.store()
        for last in (False, True):
            try:
                store.changes(fresh=True)
                break
            except LockedStore:
                raise
            except StoreError as error:  # damage is dealt with at the second look; what is newer stays so
                if last:
                    self._use_temporary(error)
        if self.store().generation != self._read_in:
            self._read_tables()

    def _open(self) -> None:
        if self._refused and time.monotonic() - self._tried < _REFUSED:
            raise self._refused
        self._tried, self._refused = time.monotonic(), None
        files.sweep(cache_dir(), depth=2)
        try:
            self._store = Store()
        except LockedStore as error:
            self._refused = error
            raise
        except StoreError as error:
            self._use_temporary(error)
        self._read_tables()

    def _read_tables(self) -> None:
        store = self.store()
        try:
            self._problems = shipped.load_all_shipped(store, _READING_IN)
        except LockedStore as error:
            self._problems = [f"The scores that came with the explorer are not read in yet. {error}"]
            return
        except StoreError as error:
            self._problems = [str(error)]
            if not self._instead:
                with suppress(OSError):
                    self._free = shutil.disk_usage(store.path.parent).free
                self._use_temporary(error, store)
                self._read_tables()
                return
        self._read_in = store.generation

    def _use_temporary(self, error: StoreError, of: Store | None = None) -> None:
        """A store of this server alone, with what the other one has where that can be read."""
        path = Path(tempfile.mkdtemp(prefix=files.temporary_prefix())) / "store.sqlite"
        if of is not None and maintenance.size_on_disk(of) <= _COPIED:
            with suppress(StoreError):
                maintenance.copy(of, path)
        self._store, self._tried = Store(path), time.monotonic()
        self._instead = f"{error} Until then results last only as long as the explorer runs."

    def _go_back(self) -> None:
        """Use the store of the cache folder again if that can be done now, with what was computed meanwhile."""
        self._tried = time.monotonic()
        with suppress(StoreError, OSError):
            if self._free is not None and shutil.disk_usage(cache_dir()).free < self._free + _ROOM:
                return
            store, temporary = Store(), self.store()
            store.take_over(temporary.path)
            self._store, self._instead, self._free = store, "", None

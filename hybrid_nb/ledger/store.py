"""The ledger in SQLite (WAL): calls that finish together are written in one transaction, before anyone hears of them.

A reply is handed over only after its rows are committed, so a killed process loses no finished call. The write is
done on the portal's loop, where it costs some 20 us; when another process holds the lock it moves to a thread, so
that no stream waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from hybrid_nb.core import forks
from hybrid_nb.core.errors import ConfigError
from hybrid_nb.ledger import daily_tables
from hybrid_nb.ledger.entries import ATTEMPT_COLUMNS, CALL_COLUMNS, PICO, Entry

log = logging.getLogger("hybrid_nb")
_inherited: list[sqlite3.Connection] = []  # of a parent process: neither used nor closed here
_forking = threading.Lock()
SCHEMA_VERSION = 4
WINDOW = 0.001  # seconds between commits: calls that come close together share one, as a commit costs more than a row
CROWD = 3  # operations in a commit from which on calls come close together; a lone call never waits
LOCK_PATIENCE = 2.0  # seconds that a finished call waits for its row while another process holds the lock
LOCK_WAIT = 30.0  # seconds that a write waits for another process before it fails
WAL_PAGES = 16_000  # SQLite's own checkpoint, an fsync in the middle of a commit, only when ours cannot keep up
CHECKPOINT_EVERY = 3000  # operations, some three a call
_CALLS = """
CREATE TABLE IF NOT EXISTS calls (
  time REAL NOT NULL, request_id TEXT PRIMARY KEY, provider TEXT, model TEXT, tier TEXT, status TEXT NOT NULL,
  error TEXT, finish TEXT, attempts INTEGER NOT NULL, ttft_s REAL, latency_s REAL, input_tokens INTEGER,
  cached_tokens INTEGER, output_tokens INTEGER, reasoning_tokens INTEGER, usage_source TEXT, cost_usd INTEGER,
  cost_source TEXT, cache_hit INTEGER NOT NULL, route_reason TEXT, tags TEXT
) WITHOUT ROWID
"""
_ATTEMPTS = """
CREATE TABLE IF NOT EXISTS attempts (
  time REAL NOT NULL, request_id TEXT NOT NULL, number INTEGER NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
  tier TEXT NOT NULL, outcome TEXT NOT NULL, error TEXT, status_code INTEGER, ttft_s REAL, seconds REAL NOT NULL,
  input_tokens INTEGER, output_tokens INTEGER, usage_source TEXT, cost_usd INTEGER, cost_source TEXT, part TEXT,
  PRIMARY KEY (request_id, number)
) WITHOUT ROWID
"""
_RESERVATIONS = """
CREATE TABLE IF NOT EXISTS reservations (
  id TEXT PRIMARY KEY, expires REAL NOT NULL, amount INTEGER NOT NULL, estimate INTEGER NOT NULL
) WITHOUT ROWID
"""
_SPEND = "CREATE TABLE IF NOT EXISTS spend (day TEXT PRIMARY KEY, amount INTEGER NOT NULL) WITHOUT ROWID"
# what calls of schema 1 cost counts against the budgets of their day
_SPENT_BEFORE = """
INSERT OR IGNORE INTO spend
SELECT date(time, 'unixepoch'), SUM(cost_usd) FROM attempts WHERE cost_usd IS NOT NULL GROUP BY 1
"""
ROWS = 32  # that one statement inserts


class Many(NamedTuple):
    """An operation that is cheaper for many items at once; those of one turn are done together, after all others."""

    work: Callable[[list[Any], sqlite3.Connection], None]
    item: Any


Operation = Callable[[sqlite3.Connection], Any] | Many
Batch = list[tuple[Operation, "asyncio.Future[Any] | None"]]


@cache
def _insertion(table: str, columns: int, rows: int) -> str:
    row = f"({','.join('?' * columns)})"
    return f"INSERT INTO {table} VALUES {','.join([row] * rows)}"


def _insert_rows(table: str, columns: int, rows: Sequence[tuple[Any, ...]], db: sqlite3.Connection) -> None:
    """Many rows a statement: each statement gives the interpreter away, and another thread takes it."""
    for start in range(0, len(rows), ROWS):
        part = rows[start : start + ROWS]
        db.execute(_insertion(table, columns, len(part)), tuple(chain.from_iterable(part)))


def _insert(entries: list[Entry], db: sqlite3.Connection) -> None:
    _insert_rows("calls", len(CALL_COLUMNS), [entry.call for entry in entries], db)
    _insert_rows("attempts", len(ATTEMPT_COLUMNS), [row for entry in entries for row in entry.attempts], db)


def _apply(batch: Batch, db: sqlite3.Connection) -> list[Any]:
    """The result of each operation, in order; None for those that were done together."""
    together: dict[Callable[[list[Any], sqlite3.Connection], None], list[Any]] = {}
    results: list[Any] = []
    for operation, _ in batch:
        if operation.__class__ is Many:
            together.setdefault(operation.work, []).append(operation.item)
            results.append(None)
        else:
            results.append(operation(db))  # type: ignore[operator]  # likewise
    for work, items in together.items():
        work(items, db)
    return results


class Locked(Exception):  # noqa: N818 - a signal inside this module
    """Another process holds the write lock."""


def _locked(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)  # errors of the module itself have none
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def default_path() -> Path:
    """ledger.db in the user's data folder."""
    import platformdirs

    return Path(platformdirs.user_data_dir("hybrid_nb", appauthor=False)) / "ledger.db"


def path_of(url: str | None) -> str:
    """The file that a sqlite:/// URL names (":memory:" too)."""
    return str(default_path()) if url is None else str(Path(url.removeprefix("sqlite:///")).expanduser())


def _to_wal(db: sqlite3.Connection) -> None:
    """Switch to WAL. SQLite does not wait for its lock here: two processes that open a new file at once would clash."""
    give_up = time.monotonic() + LOCK_WAIT
    while True:
        try:
            db.execute("PRAGMA page_size=1024")  # of a new file: a commit writes whole pages, and its rows are small
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
        time.sleep(0.01)


class Ledger:
    """The open store. `record` belongs to the portal's loop; `rows` may be called from any thread."""

    def __init__(self, url: str | None) -> None:
        self.path = path_of(url)
        self._lock = threading.Lock()
        self._pending: Batch = []
        self._flushing = False
        self._flushed = -1.0  # loop time
        self._latest = 0  # operations in the latest commit
        self._held_up = False  # another process has the lock, and a thread waits for it
        self._late = threading.Event()  # that thread has ended
        self._impatient: set[asyncio.Future[Any]] = set()
        self._unchecked = 0  # calls since the last checkpoint
        self._checking: asyncio.Future[None] | None = None
        self._db = self._open()
        self._pid = forks.pid

    def _open(self) -> sqlite3.Connection:
        try:
            if self.path != ":memory:":
                Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self.path, timeout=LOCK_WAIT, isolation_level=None, check_same_thread=False)
            _to_wal(db)
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
            self._prepare(db)
            db.execute("PRAGMA busy_timeout=0")
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(
                f"ledger {self.path}: cannot be opened ({error}); set [ledger] url to a writable path"
            ) from None
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise ConfigError(
                f"ledger {self.path}: written by a newer hybrid_nb (schema {version}); upgrade, or set another url"
            )
        if version < SCHEMA_VERSION:
            db.execute("BEGIN IMMEDIATE")
            db.execute(_CALLS)
            db.execute("CREATE INDEX IF NOT EXISTS calls_time ON calls (time)")
            db.execute(_ATTEMPTS)
            if all(column[1] != "part" for column in db.execute("PRAGMA table_info(attempts)")):  # schemas 1 and 2
                db.execute("ALTER TABLE attempts ADD COLUMN part TEXT")
            db.execute(_RESERVATIONS)
            db.execute(_SPEND)
            db.execute(_SPENT_BEFORE)
            daily_tables.prepare(db)
            db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            db.execute("COMMIT")

    async def record(self, entry: Entry) -> None:
        """Write a call; returns when it is committed.

        While another process holds the lock it waits some seconds, then raises TimeoutError: the row is written all
        the same when the lock is free, but nobody's answer waits for that.
        """
        done = self.transact(Many(_insert, entry))
        self._impatient.add(done)
        try:
            await done
        finally:
            self._impatient.discard(done)

    def record_soon(self, entry: Entry) -> None:
        """Write a call at the end of this turn of the loop; for work that is being cancelled and cannot wait."""
        self.transact_soon(Many(_insert, entry))

    def transact(self, operation: Operation) -> asyncio.Future[Any]:
        """Run an operation in a transaction with all others of this turn; the future has its result once committed.

        Operations take effect in the order in which they were given, also when somebody holds the lock.
        """
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._add(operation, done)
        return done

    def transact_soon(self, operation: Operation) -> None:
        """transact() without anyone who waits for it."""
        self._add(operation, None)

    def _add(self, operation: Operation, done: asyncio.Future[Any] | None) -> None:
        self._here()
        self._pending.append((operation, done))
        if self._held_up:
            self._bound([(operation, done)])
        if not self._flushing:
            self._flushing = True
            loop = asyncio.get_running_loop()
            if self._latest < CROWD or loop.time() - self._flushed > WINDOW:
                loop.call_soon(self._flush)
            else:
                loop.call_at(self._flushed + WINDOW, self._flush)

    def _flush(self) -> None:
        batch, self._pending = self._pending, []
        self._flushed, self._latest = asyncio.get_running_loop().time(), len(batch)
        outcomes: list[Any] = []
        try:
            self._write(batch, outcomes)
        except Locked:
            self._write_later(batch, outcomes)
            return  # still flushing: what comes meanwhile waits its turn
        self._tidy(len(batch))
        self._written(batch, outcomes)

    def _write_later(self, batch: Batch, outcomes: list[Any]) -> None:
        """In a thread, which begins at once: close() may come before the loop's next turn."""
        loop = asyncio.get_running_loop()
        self._held_up = True
        self._late.clear()
        loop.call_soon(self._bound, batch)  # after those who record have said so
        try:
            late = loop.run_in_executor(None, self._write_patiently, batch, outcomes)
        except RuntimeError:  # the program ends, and gives no thread any more
            self._write_patiently(batch, outcomes)
            loop.call_soon(self._written_late, batch, outcomes)
        else:
            late.add_done_callback(lambda _: self._written_late(batch, outcomes))

    def _written_late(self, batch: Batch, outcomes: Sequence[Any]) -> None:
        self._held_up = False
        self._written(batch, outcomes)

    def _bound(self, batch: Batch) -> None:
        """From now on those who record a call wait no longer than LOCK_PATIENCE."""
        for _, done in batch:
            if done is not None:
                asyncio.get_running_loop().call_later(LOCK_PATIENCE, self._let_go, done)

    def _let_go(self, done: asyncio.Future[Any]) -> None:
        if done in self._impatient and not done.done():
            done.set_exception(TimeoutError(f"ledger {self.path}: another process holds it; the row is written later"))

    def _written(self, batch: Batch, outcomes: Sequence[Any]) -> None:
        self._flushing = False
        for (_, done), outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Exception):
                log.error("ledger %s: a row could not be written (%s)", self.path, outcome)
            if done is None or done.done():
                continue
            if isinstance(outcome, Exception):
                done.set_exception(ConfigError(f"ledger {self.path}: the call could not be written ({outcome})"))
            else:
                done.set_result(outcome)
        if self._pending:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _write(self, batch: Batch, outcomes: list[Any]) -> None:
        """Add what each operation returned, or its exception: a bad row does not take its neighbours with it.

        Raises Locked when another process holds the lock; `outcomes` has those that were written before.
        """
        rest = batch[len(outcomes) :]
        try:
            outcomes += self._transaction(rest)
        except Exception as error:  # whatever it is (a full disk, a number too large), whoever waits must hear of it
            if _locked(error):
                raise Locked from None
            if len(rest) == 1:
                outcomes.append(error)
                return
            for one in rest:
                self._write([*batch[: len(outcomes)], one], outcomes)

    def _transaction(self, batch: Batch) -> list[Any]:
        with self._lock:
            db = self._db
            db.execute("BEGIN IMMEDIATE")
            try:
                results = _apply(batch, db)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # SQLite rolls back by itself when the disk is full
                    db.execute("ROLLBACK")
                raise
        return results

    def _here(self) -> None:
        """In a forked child: connection, lock and what was under way are the parent's."""
        if self._pid == forks.pid:
            return
        with _forking:
            if self._pid == forks.pid:
                return
            _inherited.append(self._db)
            self._lock, self._late = threading.Lock(), threading.Event()
            self._pending, self._flushing, self._held_up = [], False, False
            self._impatient, self._checking = set(), None
            self._db, self._pid = self._open(), forks.pid

    def _write_patiently(self, batch: Batch, outcomes: list[Any]) -> None:
        give_up = time.monotonic() + LOCK_WAIT
        try:
            while len(outcomes) < len(batch):
                try:
                    self._write(batch, outcomes)
                except Locked:
                    if time.monotonic() > give_up:
                        late = TimeoutError(f"locked by another process for {LOCK_WAIT:.0f} s")
                        outcomes += [late] * (len(batch) - len(outcomes))
                        return
                    time.sleep(0.02)
        finally:
            self._late.set()

    def _tidy(self, writes: int) -> None:
        """Move the log into the file from time to time, in a thread: its fsync would hold up every stream."""
        self._unchecked += writes
        if self._unchecked < CHECKPOINT_EVERY or self.path == ":memory:":
            return
        if self._checking is None or self._checking.done():
            self._unchecked = 0
            self._checking = asyncio.get_running_loop().run_in_executor(None, self._checkpoint)

    def _checkpoint(self) -> None:
        try:
            db = sqlite3.connect(self.path, timeout=0)
            try:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            finally:
                db.close()
        except sqlite3.Error:  # the next one, or SQLite's own, does it
            return

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a read query. Raises ConfigError."""
        self._here()
        try:
            with self._lock:
                return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: sqlite3.Error) -> ConfigError:
        return ConfigError(
            f"ledger {self.path}: cannot be read ({error}); if it was moved or deleted, make a new hybrid_nb.Router()"
        )

    def sums(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query that reads very many: over a connection of its own, as nobody may write meanwhile over
        the other one, and so no call could end. Raises ConfigError."""
        if self.path == ":memory:":
            return self.rows(query, values)
        place = f"{Path(self.path).absolute().as_uri()}?mode=rw"  # which makes no file where there is none
        try:
            with contextlib.closing(sqlite3.connect(place, timeout=LOCK_PATIENCE, uri=True)) as db:
                return db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._unreadable(error) from None

    def calls(self, since: float | None) -> list[tuple[Any, ...]]:
        """Calls since a unix time, oldest first, in CALL_COLUMNS; cost in dollars."""
        return self._select("calls", CALL_COLUMNS, since, "time, request_id")

    def attempts(self, since: float | None) -> list[tuple[Any, ...]]:
        """Attempts since a unix time, oldest first, in ATTEMPT_COLUMNS; cost in dollars."""
        return self._select("attempts", ATTEMPT_COLUMNS, since, "time, request_id, number")

    def _select(self, table: str, columns: Sequence[str], since: float | None, order: str) -> list[tuple[Any, ...]]:
        shown = ", ".join(f"cost_usd / {float(PICO)}" if name == "cost_usd" else name for name in columns)
        where = "" if since is None else "WHERE time >= ?"
        return self.rows(f"SELECT {shown} FROM {table} {where} ORDER BY {order}", () if since is None else (since,))

    async def drain(self, patience: float = LOCK_PATIENCE) -> None:
        """Wait until everything is written that was given, also what waits for another process's lock."""
        give_up, quiet = time.monotonic() + patience, 0
        while quiet < 3 and time.monotonic() < give_up:  # a result may make its owner write once more, a turn later
            quiet = 0 if self._pending or self._flushing else quiet + 1
            await asyncio.sleep(0.001)

    def close(self) -> None:
        """Write what is pending, then close."""
        self._here()
        if self._held_up:
            self._late.wait(LOCK_WAIT)
        if self._pending:
            batch, self._pending = self._pending, []
            outcomes: list[Any] = []
            self._write_patiently(batch, outcomes)
            self._written(batch, outcomes)
        with self._lock:
            self._db.close()

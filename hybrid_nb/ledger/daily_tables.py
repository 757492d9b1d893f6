"""The table of sums by day and the triggers that keep it. See hybrid_nb.ledger.daily."""

from __future__ import annotations

import sqlite3

_NOTHING_SENT = "({0}attempts = 0 AND {0}cost_usd IS NULL)"
_SUMS = ("input_tokens", "output_tokens", "cost")  # which are unknown where none of their parts is known
TABLE = """
CREATE TABLE IF NOT EXISTS daily (
  day TEXT, provider TEXT, model TEXT, tier TEXT, status TEXT, cost_source TEXT, calls INTEGER NOT NULL,
  errors INTEGER NOT NULL, input_tokens INTEGER, output_tokens INTEGER, cost INTEGER, unknown INTEGER NOT NULL,
  hits INTEGER NOT NULL,
  PRIMARY KEY (day, provider, model, tier, status, cost_source)
) WITHOUT ROWID
"""


def _keys(of: str) -> str:
    names = ("provider", "model", "tier", "status", "cost_source")
    return ", ".join([f"COALESCE(date({of}time, 'unixepoch'), '')", *(f"COALESCE({of}{name}, '')" for name in names)])


def _parts(of: str) -> tuple[str, ...]:
    nothing = _NOTHING_SENT.format(of)
    cost = f"CASE WHEN {nothing} THEN 0 ELSE {of}cost_usd END"
    unknown = f"({of}cost_usd IS NULL AND NOT {nothing})"
    return f"({of}status != 'ok')", f"{of}input_tokens", f"{of}output_tokens", cost, unknown, f"({of}cache_hit != 0)"


def _added(name: str) -> str:
    if name not in _SUMS:
        return f"{name} = {name} + excluded.{name}"
    both = f"CASE WHEN {name} IS NULL AND excluded.{name} IS NULL THEN NULL"
    return f"{name} = {both} ELSE COALESCE({name}, 0) + COALESCE(excluded.{name}, 0) END"


_NAMES = ("calls", "errors", "input_tokens", "output_tokens", "cost", "unknown", "hits")
ADDING = f"""
CREATE TRIGGER IF NOT EXISTS calls_daily AFTER INSERT ON calls BEGIN
  INSERT INTO daily VALUES ({_keys("NEW.")}, 1, {", ".join(_parts("NEW."))})
  ON CONFLICT DO UPDATE SET {", ".join(map(_added, _NAMES))};
END
"""
# no trigger hears of a row that is replaced; whoever gives one once more may replace it
REPLACED = """
CREATE TRIGGER IF NOT EXISTS calls_replaced BEFORE INSERT ON calls
WHEN EXISTS (SELECT 1 FROM calls WHERE request_id = NEW.request_id) BEGIN
  INSERT OR IGNORE INTO daily VALUES ('stale', '', '', '', '', '', 0, 0, NULL, NULL, NULL, 0, 0);
END
"""
FILLING = f"""
INSERT INTO daily SELECT {_keys("")}, COUNT(*), {", ".join(f"SUM({part})" for part in _parts(""))}
FROM calls GROUP BY 1, 2, 3, 4, 5, 6
"""
STALE = """
CREATE TRIGGER IF NOT EXISTS calls_{0}d AFTER {0} ON calls BEGIN
  INSERT OR IGNORE INTO daily VALUES ('stale', '', '', '', '', '', 0, 0, NULL, NULL, NULL, 0, 0);
END
"""


def prepare(db: sqlite3.Connection) -> None:
    """Make the table of what is there, and the triggers; inside a transaction."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'daily'").fetchone():
        return
    db.execute(TABLE)
    db.execute(FILLING)
    db.execute(ADDING)
    db.execute(REPLACED)
    for change in ("UPDATE", "DELETE"):
        db.execute(STALE.format(change))

"""What is new in a store, until somebody else has it.

outbox = Outbox(store)               # from now on each number that any process writes there is listed
last, content = outbox.part()        # the next of them
outbox.forget(last)                  # they have arrived
"""

import sqlite3
from pathlib import Path

from circuitcheck.records.exchange.content import Content, of_kind, rows_of
from circuitcheck.records.exchange.merging import opened_to_write
from circuitcheck.records.exchange.sources import COLUMNS

# Numbers of a part at most, and about how many bytes of them.
_AT_ONCE, _BYTES = 1_000, 4 * 2**20
_LISTING = """
    CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, one NOT NULL, other, size INTEGER);
    CREATE TRIGGER IF NOT EXISTS listed_numbers AFTER INSERT ON numbers BEGIN
        INSERT INTO outbox (kind, one, other, size) VALUES ('number', NEW.experiment, NEW.pair, LENGTH(NEW.value)); END;
    CREATE TRIGGER IF NOT EXISTS listed_facts AFTER INSERT ON facts BEGIN
        INSERT INTO outbox (kind, one, other, size) VALUES ('fact', NEW.model, NEW.name, LENGTH(NEW.value)); END;
    CREATE TRIGGER IF NOT EXISTS listed_files AFTER INSERT ON files BEGIN
        INSERT INTO outbox (kind, one, size) VALUES ('file', NEW.path, 64); END;
"""


class Outbox:
    """The list of what is new in the store at ``path`` since it was first made."""

    def __init__(self, path: Path):
        self._connection: sqlite3.Connection = opened_to_write(path)
        self._connection.executescript(_LISTING)

    def part(self) -> tuple[int, Content]:
        """The next of what is new, and the place in the list up to which that is; empty where nothing is."""
        last = total = 0
        for place, size in self._connection.execute("SELECT id, size FROM outbox ORDER BY id LIMIT ?", (_AT_ONCE,)):
            last, total = place, total + (size or 0)
            if total > _BYTES:
                break
        # The list is gone through, and what it names looked up.
        listed = "FROM outbox o CROSS JOIN"
        upto = "WHERE o.id <= ? AND o.kind = ? ORDER BY o.id"
        numbers = f"SELECT {COLUMNS} {listed} numbers n ON n.experiment = o.one AND n.pair = o.other JOIN experiments e ON e.id = o.one {upto}"
        facts = f"SELECT f.model, f.name, f.value {listed} facts f ON f.model = o.one AND f.name = o.other {upto}"
        files = f"SELECT f.path, f.stamp, f.digest {listed} files f ON f.path = o.one {upto}"
        return last, Content(
            numbers=rows_of(self._connection.execute(numbers, (last, "number"))),
            facts=of_kind("fact", self._connection.execute(facts, (last, "fact"))),
            files=of_kind("file", self._connection.execute(files, (last, "file"))),
        )

    def forget(self, last: int) -> None:
        """Take off the list what stands up to a place."""
        self._connection.execute("DELETE FROM outbox WHERE id <= ?", (last,))

    def close(self) -> None:
        self._connection.close()

"""Where numbers come home to: the one store, with the one process that writes it."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from circuitcheck.cluster.jobs import Job
from circuitcheck.errors import StoreError
from circuitcheck.records.exchange import lines
from circuitcheck.records.exchange.merging import Merged, Taking, opened_to_write
from circuitcheck.records.exchange.sources import read
from circuitcheck.records.files import reason


class Head:
    """The store at ``path``, from any of a process' threads. Raises ``StoreError`` where it is none of ours."""

    def __init__(self, path: Path):
        self.path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection = opened_to_write(path)
        self._taking = Taking(self._connection, str(path))

    def known(self, job: Job) -> Iterator[str]:
        """Lines of all that is known of a job's model, by whatever of its names."""
        where = f"value IN ({','.join('?' * len(job.names))}) OR name = ?"
        query = f"SELECT DISTINCT model FROM facts WHERE {where}"  # noqa: S608 - of question marks alone
        with closing(sqlite3.connect(self.path)) as connection:
            models = [str(model) for (model,) in connection.execute(query, [*job.names, _asked(job)])]
            yield from lines.written(read(connection, models, with_files=True))

    def take(self, job: Job, batch: str, place: str) -> int:
        """Write what a job sends from a place, all of it or nothing; it is there when this returns. How many numbers it was."""
        found = list(lines.read(batch.splitlines(), place))
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                for content in found:
                    self._taking.take(content, place)
                    for model in dict.fromkeys(row[0].model for row in content.numbers):
                        self._connection.execute("INSERT OR IGNORE INTO facts VALUES (?, ?, '')", (model, _asked(job)))
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreError(
                    f"{self.path} could not be written ({reason(error)}): what came home before is in it"
                ) from None
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
        return sum(len(content.numbers) for content in found)

    def merged(self) -> Merged:
        """What came home so far."""
        with self._lock:
            return self._taking.merged

    def close(self) -> None:
        self._connection.close()


def _asked(job: Job) -> str:
    """The fact that says by which name a model was asked in a job."""
    return f"asked as {job.model}"

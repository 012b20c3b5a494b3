"""Pruning the database of a store that nobody has open."""

from contextlib import closing
from pathlib import Path

from shmctx import process
from shmctx.cold.reader import check_exists
from shmctx.cold.retention import Report
from shmctx.cold.sqlite import SqliteWriter
from shmctx.cold.survey import classes_of
from shmctx.drain.election import Election
from shmctx.errors import ColdMismatch, LeaderAlive
from shmctx.forks import fork_gate


def prune(database: Path, older_ns: int | None) -> Report:
    """Remove what has expired, by the classes of the last leader.

    Raises LeaderAlive while a process drains, and ColdError.
    """
    database = database.absolute()
    check_exists(database)
    election = Election(database)
    if not election.try_win():
        raise LeaderAlive(
            f"{process.describe(election.holder())} drains {database}.", hint="Name its store: shmctx prune NAME."
        )
    try:
        with fork_gate, closing(SqliteWriter(database, retention=classes_of(database))) as writer:
            cursor = writer.cursor()
            if cursor is None:
                raise ColdMismatch(f"{database} belongs to no store yet.")
            writer.take_over(store_id=cursor.store_id)
            report = writer.pruner.run(older_ns)
            writer.maintain(idle=True)
            return report
    finally:
        election.resign()

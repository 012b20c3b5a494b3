"""Repeated texts by their ids."""

import sqlite3

MOST = 200_000
"""Texts that are remembered."""


class Texts(dict[str | None, int | None]):
    """The id of each text, which is stored when it is first asked for; None has none.

    A dict that fills itself: a text that is known costs one look-up. After a rollback it is to be cleared, because ids
    may be given again.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__()
        self._db = connection

    def __missing__(self, text: str | None) -> int | None:
        if text is None:
            return None
        self._db.execute("INSERT OR IGNORE INTO text (value) VALUES (?)", (text,))
        number = int(self._db.execute("SELECT id FROM text WHERE value = ?", (text,)).fetchone()[0])
        if len(self) >= MOST:
            self.clear()
        self[text] = number
        return number

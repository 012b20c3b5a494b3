"""How commands print: tables for people, tab-separated text for pipes, JSON for programs. Only tables load rich."""

import functools
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import click
import msgspec

from shmctx.context import Context

P = ParamSpec("P")
R = TypeVar("R")

_json = msgspec.json.Encoder().encode
_BACKSLASH = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_ESCAPES = str.maketrans({chr(code): text for code, text in _CONTROLS.items()} | _BACKSLASH)
_WIDE = 120  # characters of a terminal in which columns marked `wide` are shown too


ID = "cyan"
"""The style of columns with refs and other ids."""


class Form(Enum):
    """What the output is for."""

    TABLE = "table"
    PLAIN = "plain"
    JSON = "json"
    LINES = "jsonl"


class Column(NamedTuple):
    """One column. `key` heads it in plain text, `title` in a table, where `show` turns the value into text."""

    key: str
    title: str
    show: Callable[[Any], str] = str
    right: bool = False
    wide: bool = False
    width: int = 0
    """Characters in a table that grows line by line."""
    style: str = ""


class Listing(NamedTuple):
    """A kind of row: its columns, the values that fill them, and the object that stands for it in JSON."""

    columns: tuple[Column, ...]
    values: Callable[[Any], Mapping[str, Any]] = lambda row: row
    document: Callable[[Any], Any] = lambda row: row


# ---- values for people ----


def escape(text: str) -> str:
    """The text without control characters, which would break a line or drive a terminal."""
    return text if text.isprintable() and "\\" not in text else text.translate(_ESCAPES)


def size(count: int | None) -> str:
    """Bytes with a unit: `32.0 MiB`."""
    if count is None:
        return ""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def clock(ns: int | None) -> str:
    """Local time of day, with milliseconds; the date too if it is not today. `ns` since 1970."""
    if not ns:
        return ""
    moment = datetime.fromtimestamp(ns / 1e9).astimezone()
    today = moment.date() == datetime.now().astimezone().date()
    return moment.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S") + f".{ns // 1_000_000 % 1000:03d}"


def age(ns: int | None) -> str:
    """How long ago: `3.2 s`. `ns` since 1970."""
    return duration(max(time.time_ns() - ns, 0) / 1e9) if ns else ""


def duration(seconds: float | None) -> str:
    """Seconds with a unit that fits."""
    if seconds is None:
        return ""
    for limit, unit, divisor in ((1e-3, "µs", 1e-6), (1, "ms", 1e-3), (120, "s", 1), (7200, "min", 60)):
        if abs(seconds) < limit:
            return f"{seconds / divisor:.1f} {unit}"
    return f"{seconds / 3600:.1f} h"


def number(value: float | None) -> str:
    """With thousands separated."""
    return "" if value is None else f"{value:,}"


def yes(value: bool | None) -> str:
    """yes, no, or nothing where it does not apply."""
    return "" if value is None else "yes" if value else "no"


def plain(value: Any) -> str:
    """A value as one field of tab-separated text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return escape(value)
    return escape(_json(value).decode())


# ---- contexts ----


def _context_values(context: Context) -> dict[str, Any]:
    return {
        "time": datetime.fromtimestamp(context.timestamp).astimezone().isoformat(timespec="microseconds"),
        "time_ns": context.time_ns,
        "ref": context.ref,
        "event_name": context.event_name,
        "agent_id": context.agent_id,
        "depth": context.depth,
        "correlation_id": context.correlation_id,
        "parent_event_id": context.parent_event_id,
        "error": context.error_text,
    }


def _time_of_day(iso: str) -> str:
    return clock(int(datetime.fromisoformat(iso).timestamp() * 1e9))


CONTEXTS = Listing(
    (
        Column("time", "Time", _time_of_day, width=12, style="dim"),
        Column("ref", "Ref", width=20, style=ID),
        Column("event_name", "Event", width=28, style="bold"),
        Column("agent_id", "Agent", width=16),
        Column("depth", "Depth", right=True, wide=True),
        Column("correlation_id", "Correlation", wide=True),
        Column("parent_event_id", "Parent", wide=True),
        Column("error", "Error", style="red"),
    ),
    _context_values,
    Context.to_dict,
)


# ---- where it goes ----


def colours() -> bool:
    """Whether to colour standard output: NO_COLOR and FORCE_COLOR decide, then whether it is a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()


class Output:
    """Standard output in one form."""

    def __init__(self, form: Form) -> None:
        self.form = form

    def rows(self, listing: Listing, rows: Iterable[Any]) -> None:
        """Print rows as a whole."""
        if self.form is Form.TABLE:
            self._table(listing, rows)
        elif self.form is Form.JSON:
            self.json([listing.document(row) for row in rows])
        else:
            line = self.lines(listing)
            for row in rows:
                line(row)

    def lines(self, listing: Listing) -> Callable[[Any], None]:
        """A function that prints one row as it comes."""
        if self.form in (Form.LINES, Form.JSON):
            return lambda row: self.json(listing.document(row))
        if self.form is Form.TABLE:
            return lambda row: click.echo(_terminal_line(listing, row), color=colours())
        sys.stdout.write("\t".join(column.key for column in listing.columns) + "\n")
        return lambda row: _plain_line(listing, row)

    def document(self, value: Mapping[str, Any], people: Iterable[tuple[str, str]]) -> None:
        """Print one object; `people` are labels and texts for a terminal."""
        if self.form is Form.TABLE:
            width = max(map(len, dict(people)))
            for label, text in people:
                click.echo(f"{click.style(label.ljust(width), dim=True)}  {escape(text)}", color=colours())
        elif self.form is Form.PLAIN:
            sys.stdout.write("key\tvalue\n")
            for key, item in flat(value):
                sys.stdout.write(f"{key}\t{plain(item)}\n")
        else:
            self.json(value)

    def json(self, value: Any) -> None:
        """Print a value as one line of JSON."""
        sys.stdout.write(_json(value).decode() + "\n")

    def flush(self) -> None:
        """Show what was printed so far."""
        sys.stdout.flush()

    def _table(self, listing: Listing, rows: Iterable[Any]) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        console = Console(color_system="auto" if colours() else None, highlight=False, markup=False, emoji=False)
        columns = [column for column in listing.columns if not column.wide or console.width >= _WIDE]
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for column in columns:
            justify: Any = "right" if column.right else "left"
            is_id = column.style == ID  # to be copied whole: other columns are broken over lines first
            table.add_column(column.title, justify=justify, style=column.style, no_wrap=is_id)
        for row in rows:
            values = listing.values(row)
            table.add_row(*(Text(_shown(column, values[column.key])) for column in columns))
        console.print(table)


def _shown(column: Column, value: Any) -> str:
    return "" if value is None else escape(column.show(value))


def _plain_line(listing: Listing, row: Any) -> None:
    values = listing.values(row)
    sys.stdout.write("\t".join(plain(values[column.key]) for column in listing.columns) + "\n")


def _terminal_line(listing: Listing, row: Any) -> str:
    values = listing.values(row)
    words = []
    for column in listing.columns:
        if not column.wide:
            text = _shown(column, values[column.key]).ljust(column.width)
            words.append(_styled(text, column.style))
    return "  ".join(words).rstrip()


def _styled(text: str, style: str) -> str:
    if style in ("bold", "dim"):
        return click.style(text, **{style: True})
    return click.style(text, fg=style or None)


def flat(value: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """The leaves of nested objects under dotted keys."""
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def with_output(function: Callable[Concatenate[Output, P], R]) -> Callable[P, R]:
    """Gives a command --json and --jsonl, and an Output as its first argument."""

    @click.option("--json", "json_", is_flag=True, help="Print one JSON document.")
    @click.option("--jsonl", is_flag=True, help="Print one JSON object per line.")
    @functools.wraps(function)
    def command(*args: P.args, **options: P.kwargs) -> R:
        as_json, as_lines = options.pop("json_"), options.pop("jsonl")
        if as_json and as_lines:
            raise click.UsageError("--json and --jsonl exclude each other.")
        people = Form.TABLE if sys.stdout.isatty() else Form.PLAIN
        form = Form.JSON if as_json else Form.LINES if as_lines else people
        return function(Output(form), *args, **options)

    return command

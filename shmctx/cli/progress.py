"""How far a command is, on standard error."""

import contextlib
import sys
from collections.abc import Callable, Iterator

Progress = Callable[[int, int], None]
"""Told how much is done, and of how much."""


@contextlib.contextmanager
def bar(title: str, *, quiet: bool, numbers: bool = False) -> Iterator[Progress | None]:
    """A bar with the time left, if somebody sees it. `numbers`: with how many of how many, instead of percent."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    share = MofNCompleteColumn() if numbers else TaskProgressColumn()
    columns = (TextColumn("[progress.description]{task.description}"), BarColumn(), share, TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)

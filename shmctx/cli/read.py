"""`shmctx get`, `tail`, `query` and `tree`: contexts, out of the ring and the database."""

import contextlib
import sys
from collections.abc import Iterator

import click

from shmctx.cli.main import ERROR, HELP_OPTIONS, complain, examples
from shmctx.cli.render import CONTEXTS, Output, with_output
from shmctx.cli.stores import View, complete_name, view
from shmctx.context import Context
from shmctx.errors import ContextNotFound, RecordDamaged, SegmentError, SegmentMissing
from shmctx.hot import segment as segments
from shmctx.refs import resolve_native
from shmctx.settings import environment

_HINT = "shmctx query, which finds contexts by what they hold; shmctx ls shows the stores there are"


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples(
        "shmctx get ctx_0123456789abcdef --json",
        "shmctx query ksi --jsonl | jq -r ._parent_event_id | shmctx get - --name ksi",
    ),
)
@click.argument("refs", nargs=-1, required=True, metavar="REF...")
@click.option("--name", shell_complete=complete_name, help="The store; otherwise the one whose id is in the ref.")
@with_output
def get(out: Output, refs: tuple[str, ...], name: str | None) -> None:
    """Print the contexts of refs or event ids; `-` reads them from standard input, one a line.

    Without --name and SHMCTX_SEGMENT, the store is found by the ref. A ref that does not resolve is reported on
    standard error, the others are printed, and the exit code is 1.
    """
    failed: list[str] = []
    with contextlib.ExitStack() as stack:
        resolver = _Resolver(stack, name or environment().segment)
        out.rows(CONTEXTS, _resolved(resolver, _read_refs(refs), failed))
    if failed:
        raise click.exceptions.Exit(ERROR)


def _read_refs(refs: tuple[str, ...]) -> Iterator[str]:
    for ref in refs:
        if ref == "-":
            yield from filter(None, (line.strip() for line in sys.stdin))
        else:
            yield ref


def _resolved(resolver: "_Resolver", refs: Iterator[str], failed: list[str]) -> Iterator[Context]:
    for ref in refs:
        try:
            yield resolver.resolve(ref)
        except (ContextNotFound, RecordDamaged) as error:
            complain(error.message, error.hint or _HINT)
            failed.append(ref)


class _Resolver:
    """Resolves refs in one named store, or in whichever store on this machine made them."""

    def __init__(self, stack: contextlib.ExitStack, name: str | None) -> None:
        self._stack = stack
        self._named = None if name is None else stack.enter_context(view(name))
        self._views: dict[int, View] | None = None

    def resolve(self, ref: str) -> Context:
        """The Context. Raises ContextNotFound, RecordDamaged, SegmentMissing."""
        if self._named is not None:
            return self._named.store.resolve(ref)
        views = self._all()
        native = resolve_native(ref)
        if native is not None:
            if native[0] not in views:
                raise SegmentMissing(f"No segment on this machine is of store {native[0]:06x}, which made {ref!r}.")
            return views[native[0]].store.resolve(ref)
        return self._brought(ref, list(views.values()))

    def _brought(self, ref: str, views: list[View]) -> Context:
        """An id that its context brought with it does not tell the store."""
        for found in views:
            context = found.store.get(ref)
            if isinstance(context, Context):
                return context
        if not views:
            raise SegmentMissing("There is no segment on this machine.")
        return views[0].store.resolve(ref)

    def _all(self) -> dict[int, View]:
        if self._views is None:
            self._views = {}
            for name in segments.names():
                with contextlib.suppress(SegmentError):
                    found = self._stack.enter_context(view(name))
                    self._views[found.store.store_id] = found
        return self._views

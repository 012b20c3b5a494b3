"""`shmctx session`: what belongs to one conversation."""

import click

from shmctx.cli.main import HELP_OPTIONS, examples
from shmctx.cli.readers import with_url
from shmctx.cli.render import CONTEXTS, Form, Output, clock, number, plain, with_output
from shmctx.cli.stores import candidates, name_option
from shmctx.sessions import Session


@click.command(context_settings=HELP_OPTIONS, epilog=examples("shmctx session s-1 --name ksi --json"))
@click.argument("session_id", metavar="ID")
@name_option
@with_url
@with_output
def session(out: Output, session_id: str, name: str | None) -> None:
    """Show a session: its data, agents, first and last activity and responses; on a terminal its contexts too."""
    with candidates(name) as found:
        wanted = found.session(session_id)
        out.document(wanted.to_dict(), _told(wanted))
        if out.form is Form.TABLE:
            out.rows(CONTEXTS, wanted.chain)


def _told(wanted: Session) -> list[tuple[str, str]]:
    return [
        ("session", wanted.id),
        ("data", plain(wanted.data)),
        ("first", clock(_ns(wanted.first_activity))),
        ("last", clock(_ns(wanted.last_activity))),
        ("agents", ", ".join(wanted.agents)),
        ("events", number(len(wanted.events))),
        ("responses", ", ".join(wanted.response_refs)),
    ]


def _ns(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1e9)

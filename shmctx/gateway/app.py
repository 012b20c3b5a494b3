"""The application: all routes behind the guard."""

from collections.abc import Sequence

from litestar import Litestar
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from shmctx.gateway import checkpoints, contexts, correlations, errors, events, login, overview, streams
from shmctx.gateway.guard import Guard
from shmctx.gateway.parameters import wanted
from shmctx.gateway.state import Gate

ROUTES = [
    *contexts.ROUTES,
    *events.ROUTES,
    *correlations.ROUTES,
    *overview.ROUTES,
    *checkpoints.ROUTES,
    *streams.ROUTES,
    *login.ROUTES,
]


def application(gate: Gate, hosts: Sequence[str] | None) -> Guard:
    """The ASGI application of a store. `hosts`: what Host headers may say; None on a Unix socket."""
    framework = Litestar(
        ROUTES,
        dependencies={
            "gate": Provide(lambda: gate, sync_to_thread=False),
            "wanted": Provide(wanted, sync_to_thread=False),
            "chosen": Provide(streams.filters, sync_to_thread=False),
        },
        exception_handlers=errors.HANDLERS,
        openapi_config=_document(),
        request_max_body_size=gate.limits.body,
        on_shutdown=[gate.hub.stop],
        logging_config=None,
        signature_types=[Gate],
    )
    allowed = None if hosts is None else frozenset(host.lower().encode() for host in hosts)
    return Guard(framework, gate, allowed)


def _document() -> OpenAPIConfig:
    scheme = SecurityScheme(type="http", scheme="bearer", description="The token in the gateway's file.")
    return OpenAPIConfig(
        title="shmctx gateway",
        version="1",
        description="Contexts and events of one store, for programs that do not share its memory.",
        components=Components(security_schemes={"token": scheme}),
        security=[{"token": []}],
        use_handler_docstrings=True,
        path="/v1",
        render_plugins=[JsonRenderPlugin(path="/openapi.json")],
    )

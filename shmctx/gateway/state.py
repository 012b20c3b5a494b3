"""What all routes of one gateway share."""

from litestar.di import NamedDependency

from shmctx.aio import AsyncStore
from shmctx.events.monitor import AsyncMonitor, Monitor
from shmctx.gateway.auth import Token
from shmctx.gateway.chains import Chains
from shmctx.gateway.limits import Limits
from shmctx.gateway.live import Hub
from shmctx.gateway.tally import Tally
from shmctx.store import Store


class Gate:
    """A store as the gateway's routes see it."""

    def __init__(self, store: Store, token: Token | None, limits: Limits, *, writable: bool) -> None:
        self.store = store
        self.aio = AsyncStore(store, store._attachment)  # noqa: SLF001  (store.aio would make one for every request)
        self.monitor = AsyncMonitor(Monitor(store))
        self.token = token
        self.limits = limits
        self.writable = writable
        self.tally = Tally()
        self.chains = Chains(store)
        self.hub = Hub(store, limits, self.tally)


TheGate = NamedDependency[Gate]
"""How a route takes it."""

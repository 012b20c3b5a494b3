"""Routes: the checkpoints of applications, and what each of them holds."""

from typing import Annotated, Any

from litestar import get
from litestar.params import QueryParameter
from litestar.response.base import ASGIResponse

from shmctx.checkpoints import stored
from shmctx.checkpoints.stored import Listed
from shmctx.gateway.answers import Checkpoints, State, answered, documented
from shmctx.gateway.parameters import Id, Limit, spelt
from shmctx.gateway.state import Gate, TheGate

_PATH = "/v1/checkpoints"


@get(_PATH, responses=documented(Checkpoints), operation_id="checkpoints")
async def checkpoints(
    gate: TheGate,
    application: Annotated[str | None, QueryParameter(description="Only those of this one.")] = None,
    limit: Limit = 20,
) -> ASGIResponse:
    """Checkpoints, newest first, and which of them the next start of each application uses."""
    store_id = gate.store.store_id
    found = await gate.aio.run(lambda finder: stored.overview(finder, store_id, application, limit))
    return answered(Checkpoints(found))


@get(f"{_PATH}/{{ref:str}}", responses=documented(Listed), operation_id="checkpoint")
async def checkpoint(gate: TheGate, ref: Id) -> ASGIResponse:
    """What a checkpoint holds: participants, their stages and sizes, who failed."""
    return answered(await _found(gate, ref))


@get(f"{_PATH}/{{ref:str}}/states/{{participant:str}}", responses=documented(State), operation_id="checkpoint_state")
async def state(gate: TheGate, ref: Id, participant: Id) -> ASGIResponse:
    """What a participant captured."""
    found = await _found(gate, ref)
    captured: Any = await gate.aio.run(lambda finder: stored.state_of(finder, found.checkpoint, spelt(participant)))
    return answered(State(captured))


async def _found(gate: Gate, ref: str) -> Listed:
    """Raises ContextNotFound, InvalidField for what is no checkpoint."""
    return await gate.aio.run(lambda finder: stored.one(finder, gate.store.store_id, spelt(ref)))


ROUTES = [checkpoints, checkpoint, state]

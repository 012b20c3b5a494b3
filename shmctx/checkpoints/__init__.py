"""Checkpoints: participants register how to capture and restore their state; the store keeps it, and gives it back.

`checkpoints = Checkpoints(router, "shop", interval=60)`, `checkpoints.register("stock", stock.to_dict, stock.load)`,
then `async with checkpoints, router:`.
"""

from shmctx.checkpoints.checkpoints import Checkpoints
from shmctx.checkpoints.choosing import choose
from shmctx.checkpoints.participants import Stage
from shmctx.checkpoints.restoring import Restored
from shmctx.checkpoints.stored import Checkpoint, State
from shmctx.checkpoints.work import WorkQueue

__all__ = ["Checkpoint", "Checkpoints", "Restored", "Stage", "State", "WorkQueue", "choose"]

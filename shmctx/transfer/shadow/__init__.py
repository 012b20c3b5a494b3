"""Side by side: an application keeps its old form while shmctx shadows it, or answers before it.

`ShadowLog` stands where an application writes and reads its log of events with embedded contexts,
`ShadowContextManager` where a KSI daemon has its context manager; SHMCTX_SHADOW says whether shmctx is off, shadows
what is there, or is asked first. docs/migrating.md walks through adopting and going back.
"""

from shmctx.transfer.shadow.guard import Mode, Shadowing, configured
from shmctx.transfer.shadow.log import ShadowLog
from shmctx.transfer.shadow.manager import ShadowContextManager
from shmctx.transfer.shadow.report import Report

__all__ = ["Mode", "Report", "ShadowContextManager", "ShadowLog", "Shadowing", "configured"]

"""KSI's context manager on a store: the same names, methods and dicts, so that KSI's event router runs on it unchanged.

In the daemon, before its modules are imported:

    import sys, shmctx.integrations.ksi
    sys.modules["ksi_daemon.core.context_manager"] = shmctx.integrations.ksi

What it takes the place of: https://github.com/durapensa/ksi, ksi_daemon/core/context_manager.py.
"""

from shmctx.integrations.ksi.cold import ColdStorage
from shmctx.integrations.ksi.forms import ksi_context
from shmctx.integrations.ksi.hot import HotStorage
from shmctx.integrations.ksi.manager import ContextManager, get_context_manager

__all__ = ["ColdStorage", "ContextManager", "HotStorage", "get_context_manager", "ksi_context"]

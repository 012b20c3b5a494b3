"""Agents in processes of their own: started in a context, watched, restarted where their chain ends, ended together."""

from shmctx.agents.agent import Agent, Exit
from shmctx.agents.restarting import Restart
from shmctx.agents.supervisor import Agents

__all__ = ["Agent", "Agents", "Exit", "Restart"]

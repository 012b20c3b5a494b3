"""The standard library's logging: log records that tell the context they were written in.

`logging.config.dictConfig(shmctx.integrations.logging.config())`, or a ContextFilter on the handlers one has.
"""

import logging
from typing import Any

from shmctx.integrations.fields import NAMES, current_fields

FORMAT = "%(asctime)s %(levelname)s %(name)s [%(ref)s %(correlation_id)s %(agent_id)s] %(message)s"


class ContextFilter(logging.Filter):
    """Adds `ref`, `correlation_id`, `agent_id` and `session_id` to every record, `default` where there is none.

    Put it on handlers: a logger's filters do not see the records of the loggers below it. With a QueueHandler it
    belongs there, where the context is still the current one. What a record has already, by `extra`, stays.
    """

    def __init__(self, default: str | None = "-") -> None:
        super().__init__()
        self._default = default

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true."""
        found = current_fields()
        for name in NAMES:
            record.__dict__.setdefault(name, found.get(name, self._default))
        return True


def config(level: int | str = "INFO", fmt: str = FORMAT, *, default: str | None = "-") -> dict[str, Any]:
    """For logging.config.dictConfig: the root logger writes to stderr, in a format that has the context's fields."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"shmctx": {"()": ContextFilter, "default": default}},
        "formatters": {"shmctx": {"format": fmt}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "filters": ["shmctx"], "formatter": "shmctx"}},
        "root": {"level": level, "handlers": ["stderr"]},
    }

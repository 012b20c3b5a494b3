"""What an emit gives back."""

import logging
from typing import Any, NamedTuple

from shmctx.context import Context

_MAX_MESSAGE = 2000  # characters of an error's text that are stored

logger = logging.getLogger("shmctx")


class Failure(NamedTuple):
    """A handler that failed, and with what."""

    handler: str
    error: BaseException

    @property
    def fields(self) -> dict[str, str]:
        """The error as it is stored: error_type and error_message."""
        return {"error_type": type(self.error).__name__, "error_message": message_of(self.error)}


class Results(list[Any]):
    """What the handlers of an event returned, in order of priority; those that failed are in `errors`."""

    __slots__ = ("context", "errors")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.errors: list[Failure] = []

    @property
    def ref(self) -> str:
        """The event's ref."""
        return self.context.ref


def message_of(error: BaseException) -> str:
    """An error's text, fit to be stored: some text always, not endless, without lone surrogates."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001  (an error whose text cannot be had is still to be told)
        message = f"<{type(error).__name__} without a text>"
    return message[:_MAX_MESSAGE].encode(errors="backslashreplace").decode()

"""Log records and structlog's events tell the context they were written in."""

import io
import json
import logging
import logging.config
import logging.handlers
import queue

import pytest
import structlog

import shmctx
from shmctx.integrations.logging import ContextFilter, config
from shmctx.integrations.structlog import merge_shmctx


@pytest.fixture
def handler():
    """A handler of a logger of the test's own; `handler.stream` is what it wrote."""
    made = logging.StreamHandler(io.StringIO())
    made.addFilter(ContextFilter())
    made.setFormatter(logging.Formatter("%(ref)s %(correlation_id)s %(agent_id)s %(session_id)s %(message)s"))
    logger = logging.getLogger("shmctx-test")
    logger.addHandler(made)
    logger.propagate = False
    yield made
    logger.removeHandler(made)
    logger.propagate = True


def warn(handler, text, **extra):
    logging.getLogger("shmctx-test").warning(text, extra=extra)
    *_, line = handler.stream.getvalue().splitlines()
    return line


def test_a_record_has_the_fields_of_the_current_context(stores, handler):
    with stores.open().span("work", agent_id="a-7", session={"id": "s-1"}) as context:
        line = warn(handler, "hello")

    assert line == f"{context.ref} {context.correlation_id} a-7 s-1 hello"


def test_without_a_context_a_record_has_the_default(handler):
    assert warn(handler, "hello") == "- - - - hello"


def test_what_the_caller_says_of_a_field_stays(stores, handler):
    with stores.open().span("work", agent_id="a-7"):
        assert warn(handler, "hello", agent_id="other").split()[2:] == ["other", "-", "hello"]


def test_logging_goes_on_when_the_store_is_closed(stores, handler):
    store = stores.open()
    with store.span("work", session={"id": "s-1"}) as context:
        store.close()
        assert warn(handler, "hello").split()[0] == context.ref


def test_a_queue_s_listener_writes_the_context_of_the_caller(stores, handler):
    """The filter on the QueueHandler marks the record; the one behind the queue, in another thread, leaves it so."""
    records = queue.SimpleQueue()
    asking = logging.handlers.QueueHandler(records)
    asking.addFilter(ContextFilter())
    listener = logging.handlers.QueueListener(records, handler)
    logger = logging.getLogger("shmctx-test.queued")
    logger.propagate = False
    logger.addHandler(asking)
    listener.start()
    try:
        with stores.open().span("work") as context:
            logger.warning("hello")
    finally:
        listener.stop()
        logger.removeHandler(asking)

    assert handler.stream.getvalue().startswith(context.ref)


def test_the_ready_configuration_writes_the_context(segment_name, db, spawn):
    process = spawn(
        """
        import logging, logging.config, sys
        import shmctx
        from shmctx.integrations.logging import config
        logging.config.dictConfig(config(level="DEBUG", fmt="%(ref)s %(session_id)s %(name)s %(message)s"))
        with shmctx.open(sys.argv[1], db=sys.argv[2]) as store, store.span("work") as context:
            logging.getLogger("some.library").debug("inside")
        logging.info("outside")
        print(context.ref)
        """,
        segment_name,
        db,
    )
    ref = process.line()
    process.finish()

    assert process.error_output().splitlines() == [f"{ref} - some.library inside", "- - root outside"]


def test_the_configuration_is_plain_enough_to_be_changed():
    assert config()["root"]["level"] == "INFO"
    assert config() is not config()


def test_structlog_s_events_have_the_fields_that_are_there(stores):
    written = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.WriteLogger(written), processors=[merge_shmctx, structlog.processors.JSONRenderer()]
    )
    logger.info("outside")
    with stores.open().span("work", agent_id="a-7") as context:
        logger.info("inside")
        logger.info("told", agent_id="other")
    outside, inside, told = map(json.loads, written.getvalue().splitlines())

    assert outside == {"event": "outside"}
    fields = {"ref": context.ref, "correlation_id": context.correlation_id, "agent_id": "a-7"}
    assert inside == {"event": "inside", **fields}
    assert told == {"event": "told", **fields, "agent_id": "other"}
    assert shmctx.current() is None

"""The tree of errors: messages, hints, and that each of them is raised by some test."""

import inspect
import pickle
import re
from pathlib import Path

import pytest

import shmctx
from shmctx import errors
from shmctx.errors import ShmctxError

TESTS = Path(__file__).parents[1]
ALL = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, ShmctxError)]
LEAVES = [error for error in ALL if not error.__subclasses__()]


def test_every_error_is_raised_in_some_test():
    """By name, in a `pytest.raises`, an `except`, or a parametrized case."""
    text = "\n".join(path.read_text() for path in TESTS.rglob("test_*.py") if path != Path(__file__))

    assert [error.__name__ for error in LEAVES if not re.search(rf"\b{error.__name__}\b", text)] == []


@pytest.mark.parametrize("error", ALL)
def test_an_error_is_its_message_and_its_hint(error):
    plain, hinted = error("It failed."), error("It failed.", hint="Do this.")

    assert (hinted.message, hinted.hint) == ("It failed.", "Do this.")
    assert str(hinted) == "It failed. Do this."
    assert plain.hint == error.hint
    assert str(plain) == f"It failed. {error.hint}".strip()
    assert isinstance(plain, ShmctxError)


@pytest.mark.parametrize("error", ALL)
def test_a_hint_is_one_sentence_that_says_what_to_do(error):
    assert error.hint == "" or re.fullmatch(r"[A-Z].*[.]", error.hint)


@pytest.mark.parametrize("error", ALL)
def test_an_error_goes_to_another_process_whole(error):
    """concurrent.futures and multiprocessing pickle what a worker raises."""
    again = pickle.loads(pickle.dumps(error("It failed.", hint="Do this.")))

    assert type(again) is error
    assert (again.message, again.hint, str(again)) == ("It failed.", "Do this.", "It failed. Do this.")


def test_what_standard_errors_they_are():
    assert issubclass(errors.ContextNotFound, KeyError)
    assert issubclass(errors.MalformedRef, ValueError)
    assert issubclass(errors.MalformedRef, errors.ContextNotFound)
    assert not issubclass(errors.RecordDamaged, errors.ContextNotFound)


def test_the_public_ones_are_those_of_the_module():
    public = [name for name in shmctx.__all__ if inspect.isclass(getattr(shmctx, name)) and hasattr(errors, name)]

    assert len(public) > 10
    assert [name for name in public if getattr(shmctx, name) is not getattr(errors, name)] == []

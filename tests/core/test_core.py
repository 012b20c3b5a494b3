"""The C core alone, without Python: its promises one by one, under contention, and on damaged segments.

The programs run as the release is built, under the thread sanitizer, and under the address and undefined-behaviour
sanitizers. SHMCTX_TORTURE=1 makes every campaign fifty times as long.
"""

import os
import re

import pytest

FACTOR = 50 if os.environ.get("SHMCTX_TORTURE") else 1
LIMIT = 120 * FACTOR  # seconds


def figures(done):
    """The figures in the last line a program printed."""
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return {name: int(value) for name, value in re.findall(r"([a-z]+) (\d+)", done.stdout.splitlines()[-1])}


@pytest.mark.parametrize("build", ["release", "thread", "address"])
@pytest.mark.parametrize("name", ["records", "handles"])
def test_each_function_keeps_its_promises(core_program, name, build):
    done = core_program(name, build)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("passed") >= 6


@pytest.mark.parametrize("build", ["release", "thread", "address"])
def test_threads_on_a_tiny_ring_never_read_a_mixture(core_program, seed, build):
    seen = figures(core_program("stress", build, "threads", seed, 2000 * FACTOR, limit=LIMIT))

    assert seen["drained"] > 1000
    assert seen["reads"] > 1000
    assert seen["torn"] > 0, "the ring was never overwritten under a reader: this has tested nothing"


def test_killed_writers_lose_nothing_that_was_acknowledged(core_program, seed):
    seen = figures(core_program("stress", "release", "processes", seed, 4000 * FACTOR, "kill", limit=LIMIT))

    assert seen["killed"] > 50
    assert seen["drained"] > 1000


def test_every_single_flipped_bit_is_an_answer(core_program):
    done = core_program("hostile", "address", "flips", 0, 1, limit=LIMIT)

    assert figures(done)["damaged"] > 1000
    assert re.search(r"^flips (\d+) of \1$", done.stdout, re.MULTILINE)


def test_random_damage_is_an_answer(core_program, seed):
    seen = figures(core_program("hostile", "address", "mutations", seed, 50_000 * FACTOR, limit=LIMIT))

    assert min(seen.values()) > 1000, seen


@pytest.mark.parametrize("build", ["thread", "address"])
def test_a_thread_that_overwrites_the_segment_cannot_make_readers_err(core_program, seed, build):
    seen = figures(core_program("hostile", build, "scribbler", seed, 4_000 * FACTOR, limit=LIMIT))

    assert seen["whole"] > 1000
    assert seen["damaged"] > 0


@pytest.mark.parametrize("build", ["release", "thread", "address"])
def test_what_is_erased_under_a_reader_is_a_miss(core_program, seed, build):
    seen = figures(core_program("erasers", build, "threads", seed, 1500 * FACTOR, limit=LIMIT))

    assert min(seen.values()) > 100, seen


def test_an_eraser_that_dies_leaves_a_record_or_none(core_program, seed):
    seen = figures(core_program("erasers", "release", "killed", seed, 800 * FACTOR, limit=LIMIT))

    assert min(seen["reads"], seen["erased"]) > 100, seen

"""A writer dies at each of its instructions; whatever it leaves, the survivors read all that was put, and go on.

The figures of each scenario are printed: instructions stepped through, different states of the segment found and
judged, processes killed. SHMCTX_TORTURE=1 kills at every instruction, of the repair too.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

TORTURE = bool(os.environ.get("SHMCTX_TORTURE"))
pytestmark = pytest.mark.timeout(0 if TORTURE else 600)  # a loaded machine steps slowly
EVERYTHING = {"--kill": 1, "--second": 1000, "--kill-second": 25, "--waiter": 1, "--reader": 1}
SAMPLE = {"--kill": 16, "--second": 8, "--kill-second": 0, "--waiter": 40, "--reader": 24}
CAMPAIGN = EVERYTHING if TORTURE else SAMPLE
LINE = re.compile(r"^(?P<name>\S+) +(?P<order>first|second|waiter) +steps +\d+(?: states +\d+)? kills +(?P<kills>\d+)$")
# Alignment, which is never executed.
FILLING = re.compile(r"^(?:data16 |cs )*(?:nop|xchg +%ax,%ax|int3)")
# Pure, and called with whole words only: keys of other lengths are hashed before the append.
NOT_STEPPED = {"shx_tag"}


@pytest.fixture(scope="module")
def campaign(step, tmp_path_factory):
    """The output of the stepper over all scenarios, and the addresses at which a child stood."""
    visited = tmp_path_factory.mktemp("campaign") / "visited"
    options = [word for pair in CAMPAIGN.items() for word in pair]
    done = step(*options, "--coverage", visited)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout, {int(line, 16) for line in visited.read_text().split()}


def kills(output, order):
    """How many processes were killed in the scenarios of this order, by scenario."""
    found = {}
    for match in filter(None, map(LINE.match, output.splitlines())):
        if match["order"] == order:
            found[match["name"]] = found.get(match["name"], 0) + int(match["kills"])
    return found


def test_every_death_of_an_append_leaves_a_segment_that_survivors_can_use(campaign):
    output, _ = campaign

    first = kills(output, "first")
    wanted = ["first-record", "wrap-with-padding", "bucket-collisions", "eviction", "many-granules", "annotate-live"]
    assert [name for name in wanted if first[name] < 50] == []
    assert len(first) >= 25


def test_a_death_during_the_repair_of_a_death_is_repaired(campaign):
    output, _ = campaign

    assert len(kills(output, "second")) >= 15


def test_who_sleeps_on_the_lock_is_woken_when_its_holder_dies(campaign):
    output, _ = campaign

    assert kills(output, "waiter")["contended"] > 50


def test_a_reader_overtaken_at_any_instruction_returns_the_record_or_a_miss(campaign):
    output, _ = campaign

    stops = dict(re.findall(r"^(\S+) +reader +stops +(\d+)$", output, re.MULTILINE))
    assert stops.keys() == {"eviction", "wrap-with-padding", "annotate-live"}
    assert min(map(int, stops.values())) > 100


def test_a_death_of_an_erasure_leaves_a_record_or_none(step_erasure):
    done = step_erasure(1 if TORTURE else 3)

    assert done.returncode == 0, done.stdout + done.stderr
    seen = {name: int(count) for name, count in re.findall(r"(\w+) (\d+)", done.stdout)}
    assert min(seen["kills"], seen["whole"], seen["erased"]) > 30, seen


def core_functions(compiler):
    """Names of the functions in the core's objects."""
    objects = [str(compiler.object(source, source.parent)) for source in compiler.core]
    table = subprocess.run(["nm", *objects], capture_output=True, text=True, check=True, timeout=60).stdout
    return set(re.findall(r"^\S+ [tT] (\S+)$", table, re.MULTILINE))


def disassembly(program):
    """Function name -> address -> instruction, of a whole program."""
    command = ["objdump", "-d", "--no-show-raw-insn", str(program)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    functions = {}
    for line in text.splitlines():
        if match := re.match(r"[0-9a-f]+ <(.+)>:", line):
            body = functions.setdefault(match[1], {})
        elif match := re.match(r"\s+([0-9a-f]+):\s+(.*)", line):
            body[int(match[1], 16)] = match[2]
    return functions


def test_every_instruction_of_an_append_was_a_place_to_die(campaign, release):
    _, visited = campaign
    functions = disassembly(release.folder / "stepper")

    entered, missed = set(), {}
    for name in sorted(core_functions(release) & functions.keys()):
        body = {address: code for address, code in functions[name].items() if not FILLING.match(code)}
        if not visited & body.keys():
            continue
        entered.add(name)
        print(f"{name}: {len(body)} instructions, {len(body.keys() - visited)} never reached")
        for address in sorted(body.keys() - visited):
            print(f"    {address:x}  {body[address]}")
            missed.setdefault(name, []).append(address)

    assert {"shx_append", "shx_lock_enter", "shx_link_record", "shx_repair"} <= entered
    assert missed.keys() <= NOT_STEPPED


def test_the_stepper_reads_the_release_s_code(release):
    """A debug build would keep another order of stores."""
    assert "-O2" in release.flags
    assert not any(flag.startswith(("-O0", "-fsanitize")) for flag in release.flags)
    assert Path(release.core[0]).is_file()

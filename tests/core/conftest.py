"""The C test programs, compiled once per session: as the release, and under the sanitizers."""

import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from compiler import Compiler, run_program  # noqa: E402

SANITIZERS = {
    "release": [],
    # The fences order accesses that are all atomic, so that this sanitizer does not see them loses nothing.
    "thread": ["-fsanitize=thread", "-Wno-tsan", "-g", "-O1"],
    "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g", "-O1"],
}


def run_sanitized(path, *arguments, limit):
    """Runs it; once more without address randomisation if that is what the thread sanitizer cannot bear."""
    done = run_program(path, *arguments, limit=limit)
    if done.returncode and "unexpected memory mapping" in done.stderr:
        done = run_program(Path(shutil.which("setarch")), "-R", path, *arguments, limit=limit)
    return done


@pytest.fixture(scope="session")
def core_program(tmp_path_factory):
    """`core_program(name, build, *arguments)` compiles `name`.c with the core as one of SANITIZERS, and runs it."""
    compilers = {}

    def run(name, build, *arguments, limit=300):
        if build not in compilers:
            flags = SANITIZERS[build]
            compilers[build] = Compiler(tmp_path_factory.mktemp(build), flags, [f for f in flags if "sanitize=" in f])
        sources = [HERE / f"{name}.c", *([HERE / "clocklock.c"] if build == "thread" else [])]
        return run_sanitized(compilers[build].program(name, sources), *arguments, limit=limit)

    return run

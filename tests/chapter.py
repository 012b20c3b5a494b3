"""Runs one chapter of the guide as it tells its reader to: `python chapter.py FILE NAME`, in an empty directory.

The Python blocks are one program in one event loop, with `await` at its top level; one that follows `FILE.py`: is
written to that file instead. The shell blocks run in the same directory, in order. NAME stands for the store `guide`.
What each block printed is compared with the indented text after it; the first difference ends the run with exit code 1.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

LIMIT = 60.0  # seconds for one shell block
BLOCK = re.compile(r"(?ms)^```(python|sh)\n(.*?)^```\n(?:\n((?: {4}[^\n]*\n|\n(?= {4}))+))?")
FILE = re.compile(r"`(\w+\.\w+)`:\n+\Z")
TOOLS = ("jq", "zstd", "sqlite3")
"""Programs that a machine need not have; blocks that use one it has not are left out."""


class Differs(Exception):
    """A block does not print what the chapter says."""


def fits(printed: str, expected: str) -> bool:
    """Whether the output is the expected one: `…` stands for anything within a line, alone for lines."""
    lines = (re.escape(line).replace("…", ".*") + "\n" for line in expected.splitlines())
    return re.fullmatch("".join("(?:.*\n)+" if line == ".*\n" else line for line in lines), printed) is not None


def run_python(code: str, place: str, runner: asyncio.Runner, namespace: dict) -> str:
    """Run a block in this process; returns what it printed."""
    compiled = compile(code, place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        if compiled.co_flags & inspect.CO_COROUTINE:
            runner.run(types.FunctionType(compiled, namespace)())
        else:
            exec(compiled, namespace)
    return output.getvalue()


def run_shell(code: str) -> str:
    """Run a block in bash; returns its output. Raises Differs for an exit code that is not 0."""
    command = ["bash", "-euo", "pipefail", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    if done.returncode:
        raise Differs(f"exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def run(chapter: Path, name: str, runner: asyncio.Runner) -> int:
    """Run all blocks; returns how many were compared with what they are said to print."""
    text = re.sub(r"\bguide\b", name, chapter.read_text())
    namespace = {"__name__": "__main__"}
    compared = 0
    for block in BLOCK.finditer(text):
        language, code, shown = block.groups()
        before = text[: block.start(2)]
        place = f"{chapter.name}:{before.count(chr(10)) + 1}"
        expected = None if shown is None else re.sub(r"(?m)^ {4}", "", shown)
        if file := FILE.search(text[: block.start()]):
            Path(file[1]).write_text(code)
        elif language == "python":
            printed = run_python("\n" * before.count("\n") + code, chapter.name, runner, namespace)
            expected = expected or ""  # a block that prints says what
        elif all(shutil.which(tool) for tool in TOOLS if re.search(rf"\b{tool}\b", code)):
            printed = run_shell(code)
        else:
            expected = None
        if file or expected is None:
            continue
        if not fits(printed, expected):
            raise Differs(f"{place} prints\n{printed}instead of\n{expected}")
        compared += bool(expected)
    return compared


if __name__ == "__main__":
    sys.path[0] = ""  # as in `python -m asyncio`: files that a chapter writes can be imported
    with asyncio.Runner() as the_runner:
        print(run(Path(sys.argv[1]), sys.argv[2], the_runner))

"""What does `import shmctx` cost a process that may need nothing else?"""

import functools
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping

from bench.harness import ROOT, Options, Row, interleave, main, slower_at_most, versus

HEAVY = ("asyncio", "sqlite3", "psutil", "rich", "litestar")
"""What `import shmctx` must not load."""


def measure(options: Options) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="shmctx-bench-") as cache:
        python = Interpreter(cache)
        runs = {code: functools.partial(python.seconds, code) for code in ("import shmctx", "import msgspec", "pass")}
        took = interleave(options.pick(25, 8), runs)
        ours, theirs, bare = took["import shmctx"], took["import msgspec"], statistics.median(took["pass"])
        net = (statistics.median(ours) - bare) / (statistics.median(theirs) - bare)
        notes = [f"whole processes; the interpreter alone {bare * 1e3:.1f} ms, without it {net:.2f} x", python.loaded()]
        if not options.quick and shutil.which("valgrind"):
            counts = [python.instructions(code) / 1e6 for code in runs]
            notes.append(
                f"million instructions: {counts[0]:.0f}, {counts[1]:.0f} and {counts[2]:.0f}: "
                f"{counts[0] / counts[1]:.2f} x, net {(counts[0] - counts[2]) / (counts[1] - counts[2]):.2f} x"
            )
    note = "; ".join(notes)
    return [versus("import shmctx", "s", ours, ("import msgspec", theirs), slower_at_most(1.5), note=note)]


class Interpreter:
    """Runs code in new processes. Compiled modules of everybody are kept in `cache`, whatever the environment says.

    `more`: further environment variables.
    """

    def __init__(self, cache: str, more: Mapping[str, str] | None = None) -> None:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._environ = os.environ | {"PYTHONPATH": path, "PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
        self._environ |= more or {}

    def _run(self, *command: str, code: str) -> subprocess.CompletedProcess[str]:
        command = (*command, sys.executable, "-c", code)
        return subprocess.run(command, env=self._environ, check=True, capture_output=True, text=True)

    def seconds(self, code: str) -> float:
        """Seconds from the start to the end of a process."""
        start = time.perf_counter()
        self._run(code=code)
        return time.perf_counter() - start

    def instructions(self, code: str) -> int:
        """Instructions of a whole process, counted by valgrind."""
        counted = self._run("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", code=code)
        found = re.search(r"Collected : (\d+)", counted.stderr)
        if not found:
            raise RuntimeError(f"valgrind counted nothing: {counted.stderr}")
        return int(found[1])

    def loaded(self) -> str:
        """Which of HEAVY come with `import shmctx`."""
        code = f"import json, sys, shmctx; print(json.dumps([n for n in {HEAVY!r} if n in sys.modules]))"
        found = json.loads(self._run(code=code).stdout)
        return f"loads {', '.join(found)}" if found else f"loads none of {', '.join(HEAVY)}"


if __name__ == "__main__":
    raise SystemExit(main(["imports"]))

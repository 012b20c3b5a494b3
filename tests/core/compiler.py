"""Compiles the core alone, with the flags of the release or of a sanitizer, and C test programs against it."""

import hashlib
import importlib.util
import os
import shlex
import subprocess
import sysconfig
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
INCLUDES = [ROOT / "tests" / "core", ROOT / "tests" / "crash"]
LIMIT = 300  # seconds


def build_script() -> ModuleType:
    """`setup.py` as a module: it knows the core's sources and the release's flags."""
    spec = importlib.util.spec_from_file_location("shmctx_setup", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Compiler:
    """One way to compile: keeps every object it made, so that a changed source costs one compilation."""

    def __init__(self, folder: Path, flags: list[str], link: list[str]) -> None:
        """`flags` come after those of the release, `link` after the linker's; objects and programs go to `folder`."""
        script = build_script()
        self.folder = folder
        self.command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
        self.flags = [*script.all_flags(), "-Werror", *flags]
        self.link_flags = [*script.link_flags(), *link]
        self.core = [ROOT / source for source in script.CORE_SOURCES]

    def object(self, source: Path, core: Path) -> Path:
        """Compiles one file; headers of the core are taken from the folder `core`."""
        texts = [source.read_bytes(), *(path.read_bytes() for path in sorted(core.glob("*.h")))]
        for folder in INCLUDES:
            texts += [path.read_bytes() for path in sorted(folder.glob("*.h"))]
        name = f"{source.stem}-{hashlib.sha256(b'|'.join(texts)).hexdigest()[:16]}.o"
        made = self.folder / name
        if not made.exists():
            includes = [f"-I{folder}" for folder in [core, *INCLUDES]]
            self.run([*self.flags, *includes, "-c", str(source), "-o", str(made)])
        return made

    def program(self, name: str, sources: list[Path], changed: dict[str, str] | None = None) -> Path:
        """Links `sources` with the core. `changed` maps names of the core's files to other texts for them."""
        core = self.core[0].parent
        if changed:
            copy = self.folder / f"{name}-core"
            copy.mkdir(exist_ok=True)
            for path in [*core.glob("*.h"), *self.core]:
                (copy / path.name).write_text(changed.get(path.name) or path.read_text())
            core = copy
        objects = [self.object(core / path.name, core) for path in self.core]
        objects += [self.object(path, core) for path in sources]
        made = self.folder / name
        self.run(["-pthread", *map(str, objects), *self.link_flags, "-o", str(made)])
        return made

    def run(self, arguments: list[str]) -> None:
        done = subprocess.run([*self.command, *arguments], capture_output=True, text=True, timeout=LIMIT, check=False)
        assert done.returncode == 0, f"{shlex.join([*self.command, *arguments])}\n{done.stderr}"


def run_program(
    path: Path, *arguments: object, limit: float = LIMIT, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Runs a test program; its output is in the result, and on the test's own output for whoever reads a failure."""
    command = [str(path), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=limit, check=False, env={**os.environ, **environ}
    )
    print(f"$ {shlex.join([path.name, *command[1:]])}\n{done.stdout}{done.stderr}exit code {done.returncode}")
    return done

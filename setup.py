"""Builds the one C extension, `shmctx.hot._core`. Everything else is in pyproject.toml.

Environment switches, read here and nowhere else:

- `SHMCTX_SANITIZE`  a value for `-fsanitize=`: `thread`, or `address,undefined`
- `SHMCTX_DEBUG=1`   `-O0 -g3`, assertions on
- `SHMCTX_WERROR=1`  warnings are errors (`make check`)

The tests load this file as a module to compile the core alone as the release does: `CORE_SOURCES`, `all_flags`,
`link_flags`.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CORE = "shmctx/hot/core"
# What knows nothing of Python: a C program can be built from these alone. The other C files are glue.
CORE_SOURCES = [f"{CORE}/{name}.c" for name in ("ring", "erase", "lock", "wait", "index", "repair", "format")]

RELEASE_FLAGS = ["-std=c11", "-O2", "-D_GNU_SOURCE=1", "-Wall", "-Wextra", "-pthread", "-fvisibility=hidden"]
# CRC-32C in hardware: every x86-64 processor since 2008 has it, and every arm64 server processor.
MACHINE_FLAGS = {"x86_64": ["-msse4.2"], "aarch64": ["-march=armv8-a+crc"]}


def compile_flags(environ: Mapping[str, str] = os.environ, machine: str = platform.machine()) -> list[str]:
    """The compiler's flags for the core: those of the release, changed by the switches in `environ`."""
    flags = [*RELEASE_FLAGS, *MACHINE_FLAGS.get(machine, [])]
    if environ.get("SHMCTX_DEBUG"):
        flags += ["-O0", "-g3", "-UNDEBUG"]
    if environ.get("SHMCTX_WERROR"):
        flags += ["-Werror"]
    if sanitizers := environ.get("SHMCTX_SANITIZE"):
        flags += [f"-fsanitize={sanitizers}", "-fno-omit-frame-pointer", "-g"]
    return flags


def all_flags() -> list[str]:
    """What the compiler is told for the extension: the flags Python was built with, then `compile_flags`."""
    python = " ".join(str(sysconfig.get_config_var(name) or "") for name in ("CFLAGS", "CCSHARED"))
    return [*shlex.split(python), *compile_flags()]


def link_flags(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The linker's flags that go with `compile_flags`."""
    sanitizers = environ.get("SHMCTX_SANITIZE")
    return ["-pthread", *([f"-fsanitize={sanitizers}"] if sanitizers else [])]


def libc() -> str:
    """`glibc` and its version, or an empty string where the C library is another one."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):
        return ""


def refusal(system: str, machine: str, libc_version: str) -> str | None:
    """Why shmctx cannot work on such a machine, in one sentence; None where it can."""
    if system != "Linux":
        return f"shmctx needs Linux (futexes, robust mutexes and /dev/shm); this is {system}."
    if machine not in MACHINE_FLAGS:
        return f"shmctx runs on {' and '.join(MACHINE_FLAGS)}; this machine is {machine}."
    if not libc_version.startswith("glibc"):
        return "shmctx needs the GNU C library, whose mutex layout is part of the segment; this Python has another."
    return None


def missing_tool(compiler: str, include: str) -> str | None:
    """What is missing to compile an extension and how to get it, in one sentence; None if nothing is."""
    if shutil.which(compiler) is None:
        return f"shmctx needs a C compiler and found no '{compiler}': sudo apt-get install gcc (or set CC)."
    if not Path(include, "Python.h").is_file():
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return (
            f"shmctx needs Python's headers and found no {include}/Python.h: "
            f"sudo apt-get install python3-dev (or python{version}-dev)."
        )
    return None


class BuildCore(build_ext):
    """`build_ext` that says what is missing before the compiler does."""

    def run(self) -> None:
        compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
        problem = refusal(platform.system(), platform.machine(), libc())
        problem = problem or missing_tool(compiler, sysconfig.get_path("include"))
        if problem:
            sys.exit(f"error: {problem}")
        super().run()


def core_extension() -> Extension:
    """The extension module: the core and the glue between it and Python."""
    return Extension(
        "shmctx.hot._core",
        sources=sorted(map(str, Path(CORE).glob("*.c"))),
        depends=[*sorted(map(str, Path(CORE).glob("*.h"))), "setup.py"],
        extra_compile_args=compile_flags(),
        extra_link_args=link_flags(),
    )


if __name__ == "__main__":
    setup(ext_modules=[core_extension()], cmdclass={"build_ext": BuildCore})

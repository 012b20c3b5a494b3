"""What somebody sees who builds on a machine where something is missing, and the build's switches."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GLIBC = "glibc 2.36"


@pytest.fixture(scope="module")
def build():
    """setup.py as a module: it builds nothing when it is imported."""
    spec = importlib.util.spec_from_file_location("shmctx_setup", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def path_with(tmp_path):
    """A folder for PATH that has the named programs and no other."""

    def make(*programs):
        for name in programs:
            (tmp_path / name).symlink_to(shutil.which(name))
        return str(tmp_path)

    return make


def run(command, **changes):
    environ = {**os.environ, **changes}
    return subprocess.run(command, cwd=ROOT, env=environ, text=True, capture_output=True, timeout=60, check=False)


def test_a_machine_that_can_run_it_is_not_refused(build):
    assert build.refusal("Linux", "x86_64", GLIBC) is None
    assert build.refusal("Linux", "aarch64", GLIBC) is None
    assert build.missing_tool(sys.executable, str(Path(build.sysconfig.get_path("include")))) is None


@pytest.mark.parametrize(
    "system,machine,libc,reason",
    [
        ("Darwin", "arm64", "", "needs Linux"),
        ("Linux", "riscv64", GLIBC, "this machine is riscv64"),
        ("Linux", "x86_64", "", "GNU C library"),  # musl
    ],
)
def test_any_other_machine_is_refused_in_one_sentence(build, system, machine, libc, reason):
    sentence = build.refusal(system, machine, libc)

    assert reason in sentence
    assert "\n" not in sentence


def test_missing_headers_name_the_package_to_install(build, tmp_path):
    assert "apt-get install python3-dev" in build.missing_tool(sys.executable, str(tmp_path))


def test_a_build_without_a_compiler_ends_in_a_sentence_and_no_traceback(tmp_path):
    built = run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--force", "-b", str(tmp_path), "-t", str(tmp_path)],
        CC="no-such-compiler",
    )

    assert built.returncode == 1
    assert "apt-get install gcc" in built.stderr
    assert "Traceback" not in built.stderr


def test_make_says_what_to_install_before_it_builds(path_with):
    """A machine with neither Python nor a compiler hears of both at once."""
    checked = run([ROOT / "scripts/check-toolchain"], PATH=path_with("sh"), CC="")

    assert checked.returncode == 1
    assert "apt-get install python3 " in checked.stderr
    assert "apt-get install gcc" in checked.stderr


def test_an_old_python_is_refused_by_name(tmp_path):
    old = tmp_path / "python3.10"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.10.1\nexit 1\n')
    old.chmod(0o755)
    checked = run([ROOT / "scripts/check-toolchain", old])

    assert checked.returncode == 1
    assert "Python 3.10.1" in checked.stderr
    assert "Python 3.11 or later" in checked.stderr


def test_this_machine_has_what_the_build_needs():
    checked = run([ROOT / "scripts/check-toolchain", sys.executable])

    assert (checked.returncode, checked.stderr) == (0, "")


def test_system_packages_without_apt_are_named(path_with):
    """No download is tried where there is no apt-get; what is missing is listed."""
    path = path_with("bash", "env", "id", "dirname")
    installed = run([shutil.which("bash"), ROOT / "scripts/install-system-packages"], PATH=path, PYTHON=sys.executable)

    assert installed.returncode == 1
    assert "strace" in installed.stderr
    assert "no apt-get" in installed.stderr


def test_switches_change_the_flags_of_the_release(build):
    release = build.compile_flags({}, "x86_64")

    assert {"-std=c11", "-O2", "-msse4.2"} <= set(release)
    assert build.compile_flags({"SHMCTX_WERROR": "1"}, "x86_64") == [*release, "-Werror"]
    assert "-fsanitize=thread" in build.compile_flags({"SHMCTX_SANITIZE": "thread"}, "x86_64")
    assert "-fsanitize=thread" in build.link_flags({"SHMCTX_SANITIZE": "thread"})
    assert "-O0" in build.compile_flags({"SHMCTX_DEBUG": "1"}, "x86_64")
    assert "-march=armv8-a+crc" in build.compile_flags({}, "aarch64")


def test_the_core_without_glue_includes_no_python(build):
    texts = {path: (ROOT / path).read_text() for path in build.CORE_SOURCES}

    assert [path for path, text in texts.items() if "Python.h" in text or "glue.h" in text] == []

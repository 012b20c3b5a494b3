"""Which files an audit reads, and their text."""

import os
import tokenize
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

EXCLUDED = (
    ".*",
    "__pycache__",
    "__pypackages__",
    "build",
    "dist",
    "node_modules",
    "site-packages",
    "venv",
    "*.egg-info",
)
"""Names of folders that are left out unless they are named themselves: hidden, installed, or made from others."""

_ENVIRONMENT = "pyvenv.cfg"  # what marks a virtual environment, whatever it is called
_SUFFIXES = (".py", ".pyi", ".pyw")


class Unreadable(Exception):
    """A file that cannot be audited, and why."""


def python_files(paths: Iterable[Path], exclude: Iterable[str] = ()) -> Iterator[Path]:
    """The files to audit, each once, in order of their names: those that are named, and Python's below folders.

    `exclude`: patterns as fnmatch's, of names or of paths below the folder that is named.
    """
    seen: set[Path] = set()
    patterns = tuple(exclude)
    for path in paths:
        for found in _below(path, patterns) if path.is_dir() else (path,):
            if found not in seen:
                seen.add(found)
                yield found


def _below(top: Path, exclude: tuple[str, ...]) -> Iterator[Path]:
    failed: list[OSError] = []
    for root, folders, files in os.walk(top, onerror=failed.append):
        folder = Path(root)
        kept = (name for name in folders if not _left_out(folder / name, top, (*EXCLUDED, *exclude)))
        folders[:] = sorted(name for name in kept if not (folder / name / _ENVIRONMENT).exists())
        for name in sorted(files):
            path = folder / name
            if not _left_out(path, top, exclude) and is_python(path):
                yield path
    yield from (Path(error.filename) for error in failed)


def _left_out(path: Path, top: Path, patterns: tuple[str, ...]) -> bool:
    texts = (path.name, path.relative_to(top).as_posix())
    return any(fnmatchcase(text, pattern.rstrip("/")) for pattern in patterns for text in texts)


def is_python(path: Path) -> bool:
    """Whether a file is a Python program: by its suffix, or for one without by its first line."""
    if path.suffix:
        return path.suffix in _SUFFIXES
    if not path.is_file():
        return False  # opening a pipe would wait for whoever writes into it
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!" and b"python" in file.readline(256)
    except OSError:
        return False


def text_of(path: Path) -> str:
    """A program's text, decoded as it says itself. Raises Unreadable."""
    if path.is_dir():
        raise Unreadable("is a folder that cannot be listed")
    if not path.is_file():
        raise Unreadable("is no file" if path.exists() else "is not there")
    if not is_python(path):
        raise Unreadable("is no Python: neither its name nor its first line says so")
    try:
        with tokenize.open(path) as file:
            return file.read()
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None
    except (SyntaxError, ValueError) as error:  # of the encoding that it declares, or of what does not follow it
        raise Unreadable(f"cannot be decoded: {error}") from None

"""The rules of the house: sizes, the direction of imports, documented errors, one version, a light import."""

import ast
import importlib.metadata
import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import shmctx
from shmctx import errors

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "shmctx"

MODULE_LINES = 350
C_FILE_LINES = 450
FUNCTION_LINES = 40

# From the roof to the floor. A module imports from its own layer and from those below it; its layer is that of the
# longest name here that it starts with. `shmctx` itself is the public face, what `import shmctx` gives.
LAYERS = [
    {"__main__"},
    {"cli", "gateway"},
    {"client", "integrations"},
    {"transfer"},
    {"agents", "analysis", "checkpoints", "events"},
    {"shmctx"},
    {"api"},
    {"store", "aio", "carriers", "environment", "wire"},
    {"keeping", "writing", "follow", "sessions"},
    {"attachment", "drafts", "executors", "filters", "finder", "lineage", "propagation", "stats"},
    {"event_data", "resolver"},
    {"carrying", "loopside"},
    {"drain"},
    {"cold"},
    {"hot", "log"},
    {"marks", "payloads"},
    {"event"},
    {"records"},
    {"context"},
    # The extension is the floor, though its file lies with its caller: refs are decoded in C.
    {"refs", "settings", "errors", "process", "forks", "moments", "names", "w3c", "hot.shapes", "hot._core"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# `import shmctx` must cost little more than `import msgspec`; these come when something needs them.
LATE = ["aiosqlite", "asyncio", "click", "litestar", "psutil", "rich", "sqlite3"]

C_FUNCTION = re.compile(r"(?ms)^(?!typedef|struct|enum|union)\w[^;{}=]*?(\w+)\([^;{}]*\)\s*\{.*?^\}")


def sources(*folders: str, endings: tuple[str, ...] = (".py",)) -> list[Path]:
    found = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in endings]
    return sorted(found)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_modules_fit_in_the_reader_s_head():
    files = sources("shmctx", "tests", "bench")
    assert len(files) > 10

    assert [f"{shown(path)}: {lines(path)}" for path in files if lines(path) > MODULE_LINES] == []


def test_c_files_fit_in_the_reader_s_head():
    files = sources("shmctx", "tests", endings=(".c", ".h"))
    assert len(files) > 10

    assert [f"{shown(path)}: {lines(path)}" for path in files if lines(path) > C_FILE_LINES] == []


def python_functions(path: Path) -> Iterator[tuple[str, int]]:
    """Every function's name and its lines, the docstring not counted."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = node.body[0] if ast.get_docstring(node, clean=False) is not None else None
            documented = docstring.end_lineno - docstring.lineno + 1 if docstring else 0
            yield node.name, node.end_lineno - node.lineno + 1 - documented


def c_functions(path: Path) -> Iterator[tuple[str, int]]:
    """Every function's name and its lines. A definition starts at the line's start and ends with `}` alone."""
    for match in C_FUNCTION.finditer(path.read_text()):
        yield match[1], match[0].count("\n") + 1


@pytest.mark.parametrize("language", ["python", "c"])
def test_functions_fit_on_a_screen(language):
    functions, files = {
        "python": (python_functions, sources("shmctx", "tests", "bench")),
        "c": (c_functions, sources("shmctx", "tests", endings=(".c", ".h"))),
    }[language]
    found = [(path, name, length) for path in files for name, length in functions(path)]
    assert len(found) > 20

    assert [f"{shown(path)} {name}: {length}" for path, name, length in found if length > FUNCTION_LINES] == []


def module_name(path: Path) -> str:
    """The name inside the package, such as `drain.leader`; `shmctx` for the package itself."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts) or "shmctx"


def level(name: str) -> int | None:
    """The layer of a module, 0 for the roof; None for a module that has none."""
    parts = name.split(".")
    prefixes = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((LEVEL[prefix] for prefix in prefixes if prefix in LEVEL), None)


def is_module(name: str) -> bool:
    path = PACKAGE.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file() or path.with_suffix(".pyi").is_file()


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """The modules of the package that a file imports, at its top or in a function, and the line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{shown(path)}:{node.lineno}: relative imports hide their direction"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, _, inner = name.partition(".")
            if top == "shmctx":
                while inner and not is_module(inner):
                    inner = inner.rpartition(".")[0]
                yield inner or "shmctx", node.lineno


def test_every_module_has_a_layer():
    assert [shown(path) for path in sources("shmctx") if level(module_name(path)) is None] == []


def test_imports_run_downwards():
    upwards = [
        f"{shown(path)}:{line} imports {name}"
        for path in sources("shmctx")
        if level(module_name(path)) is not None  # else the test above says so
        for name, line in imported(path)
        if level(name) is None or level(name) < level(module_name(path))
    ]

    assert upwards == []


def test_an_upward_import_is_seen(tmp_path):
    """The check itself: a function of a low module that imports a high one does not pass."""
    module = tmp_path / "low.py"
    module.write_text("def f():\n    from shmctx.drain.election import Election\n    import shmctx\n")

    assert [("drain.election" if is_module("drain.election") else "drain", 2), ("shmctx", 3)] == list(imported(module))
    assert level("drain.election") < level("hot.segment") < level("context") < level("hot._core")


def test_no_star_imports():
    stars = [
        f"{shown(path)}:{node.lineno}"
        for path in sources("shmctx", "tests", "bench")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
    ]

    assert stars == []


def all_errors() -> list[type[errors.ShmctxError]]:
    found = [value for value in vars(errors).values() if inspect.isclass(value)]
    return [value for value in found if issubclass(value, errors.ShmctxError)]


def test_every_error_says_what_happened():
    """Each has a docstring of its own and its place in the tree at the top of the module."""
    tree = re.findall(r"^[│ ]*(?:[├└]── )?(\w+)", errors.__doc__.partition("ShmctxError\n")[2], re.MULTILINE)
    assert len(all_errors()) > 10

    assert [error.__name__ for error in all_errors() if not vars(error).get("__doc__")] == []
    assert [error.__name__ for error in all_errors()[1:] if error.__name__ not in tree] == []


def test_errors_are_defined_in_one_place():
    """Nobody derives an error where a reader of errors.py does not see it."""
    names = {error.__name__ for error in all_errors()}
    elsewhere = [
        f"{shown(path)}:{node.lineno} {node.name}"
        for path in sources("shmctx")
        for node in ast.walk(ast.parse(path.read_text()))
        if path != PACKAGE / "errors.py" and isinstance(node, ast.ClassDef)
        if names & {base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases}
    ]

    assert elsewhere == []


def test_public_names_resolve():
    assert len(set(shmctx.__all__)) == len(shmctx.__all__) > 5

    assert [name for name in shmctx.__all__ if not hasattr(shmctx, name)] == []


def test_the_version_is_said_once():
    """pyproject.toml says it; the installed metadata, the package and the changelog agree."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    newest = re.search(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert version == newest[1]
    assert version == importlib.metadata.version("shmctx")
    assert version == shmctx.__version__
    assert [shown(path) for path in sources("shmctx") if f'"{version}"' in path.read_text()] == []


def test_import_is_light(spawn):
    """`import shmctx` loads none of what only some callers need."""
    process = spawn("import shmctx, sys, json; print(json.dumps(sorted(sys.modules)))")
    loaded = json.loads(process.line())
    process.finish()

    assert "shmctx" in loaded
    assert [name for name in LATE if name in loaded] == []


@pytest.mark.parametrize("target", ["help", "run", "test", "check", "bench", "torture", "demo", "clean"])
def test_make_explains_every_target(target):
    makefile = (ROOT / "Makefile").read_text()

    assert re.search(rf"^{target}:.*## \w", makefile, re.MULTILINE)

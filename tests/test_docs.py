"""The documents: links lead somewhere, tests they name exist, and what the README shows runs as it is written."""

import ast
import os
import platform
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from shmctx import refs
from shmctx.cold import schema

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

CODE = re.compile(r"(?ms)^```.*?^```$|`[^`\n]*`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED_TEST = re.compile(r"\b(tests/[\w/]+\.py)::(\w+)")


def shown(path):
    return str(path.relative_to(ROOT))


def slug(heading):
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(document):
    text = re.sub(r"(?ms)^```.*?^```$", "", document.read_text())
    return {slug(heading) for heading in re.findall(r"(?m)^#+ (.+)$", text)}


def broken(document, target):
    """Whether a link from a document leads nowhere: no file, no heading, or out of the repository."""
    path, _, anchor = target.partition("#")
    found = (document.parent / path).resolve() if path else document
    if not found.is_relative_to(ROOT) or not found.exists():
        return True
    return bool(anchor) and found.suffix == ".md" and anchor not in anchors(found)


def links(document):
    """The relative links of a document."""
    targets = LINK.findall(CODE.sub("", document.read_text()))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown)
def test_every_link_leads_somewhere(document):
    assert [target for target in links(document) if broken(document, target)] == []


def test_a_broken_link_is_seen(tmp_path):
    """The check itself."""
    assert not broken(README, "docs/promise.md#not-promised")
    assert broken(README, "docs/promise.md#no-such-heading")
    assert broken(README, "docs/no-such-file.md")
    assert broken(README, "../elsewhere.md")
    document = tmp_path / "some.md"
    document.write_text("[a](b.md) `[c](d.md)` [e](https://example.org)\n```\n[f](g.md)\n```\n[h](#i)\n")
    assert links(document) == ["b.md", "#i"]


def is_test(path, name):
    """Whether a file has a test of that name."""
    functions = ast.walk(ast.parse(path.read_text())) if path.is_file() else ()
    names = {node.name for node in functions if isinstance(node, ast.FunctionDef)}
    return name.startswith("test_") and name in names


def test_every_test_that_a_document_names_exists():
    named = [(shown(document), *found) for document in DOCUMENTS for found in NAMED_TEST.findall(document.read_text())]
    assert len(named) > 50

    assert [found for found in named if not is_test(ROOT / found[1], found[2])] == []


def test_every_promise_is_held_by_tests():
    """Each section of docs/promise.md that answers for an event names a test for each of its statements."""
    text = (ROOT / "docs" / "promise.md").read_text()
    table = re.findall(r"(?m)^\| \[[^\]]+\]\(#([\w-]+)\)", text)
    sections = {slug(title): body for title, body in re.findall(r"(?ms)^## (.+?)\n(.*?)(?=^## |\Z)", text)}
    assert len(table) >= 6

    for anchor in table:
        statements = re.findall(r"(?ms)^- \*\*.+?(?=^- |\n\n|\Z)", sections[anchor])
        assert len(statements) >= 4, anchor
        assert [statement for statement in statements if not NAMED_TEST.search(statement)] == [], anchor


def test_the_examples_of_the_readme_run_as_they_are_written(segment_name, tmp_path):
    """Under a store name of the test's own; what is printed is what the comments say."""
    examples = re.findall(r"(?ms)^```python\n(.*?)^```$", README.read_text())
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    for example in examples:
        expected = re.findall(r"(?m)^print\(.*\)  # (.*)$", example)
        command = [sys.executable, "-c", example.replace('"ksi"', f'"{segment_name}"')]
        done = subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == expected
        assert len(expected) > 1

    database = sqlite3.connect(tmp_path / "var" / "contexts.db")
    rows = database.execute("SELECT event_name FROM context ORDER BY position").fetchall()
    database.close()
    assert rows == [("agent:spawn",), ("agent:status",), ("agent:spawn",), ("agent:result",)]


FORMAT = (ROOT / "docs" / "format.md").read_text()
ROW = re.compile(r"(?m)^\| (\d+) \| (\d+) \| `([\w.]+)` \|")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the document shows the offsets of x86-64")
@pytest.mark.parametrize("struct", ["shx_header", "shx_control", "shx_participant", "shx_record"])
def test_offsets_and_sizes_are_those_that_the_compiler_gives(struct):
    """Every field of the structure is in the document's table, where the table says."""
    (section,) = re.findall(rf"(?ms)^### [^\n]*`{struct}`\n(.*?)(?=^##)", FORMAT)
    rows = ROW.findall(section)
    lines = ['#include "layout.h"']
    for offset, size, field in rows:
        lines.append(f'_Static_assert(offsetof({struct}, {field}) == {offset}, "{field}");')
        lines.append(f'_Static_assert(sizeof((({struct} *)0)->{field}) == {size}, "{field}");')
    command = ["gcc", "-std=c11", "-D_GNU_SOURCE", "-fsyntax-only", "-I", "shmctx/hot/core", "-x", "c", "-"]
    done = subprocess.run(command, cwd=ROOT, input="\n".join(lines), capture_output=True, text=True, check=False)

    assert done.stderr == ""
    header = (ROOT / "shmctx" / "hot" / "core" / "layout.h").read_text()
    (body,) = re.findall(rf"typedef struct \{{([^}}]*)\}} {struct};", header)
    declared = re.findall(r"(?m)^\s+(?:_Alignas\(\d+\) )?[\w ()]+ (\w+)(?:\[\w+\])?;", body)
    assert {field.partition(".")[0] for _, _, field in rows} == set(declared)


def test_tables_columns_and_indexes_are_those_of_the_schema():
    database = sqlite3.connect(":memory:")
    schema.migrate(database, "memory")
    schema.create_view(database, 1)
    tables = {
        name: [(column[1], column[2]) for column in database.execute(f"PRAGMA table_info({name})")]
        for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    }
    named = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
    indexes = {name for (name,) in database.execute(named)}
    shown = [column[1] for column in database.execute("PRAGMA table_info(context)")]
    database.close()
    told = {
        name: re.findall(r"(?m)^\| `(\w+)` \| ([A-Z]+) \|", body)
        for name, body in re.findall(r"(?ms)^### Table `(\w+)`\n(.*?)(?=^##)", FORMAT)
    }
    (view,) = re.findall(r"(?ms)^### View `context`\n(.*?)^$", FORMAT.replace("\n\nOne row", "\nOne row"))

    assert told == tables
    assert set(re.findall(r"(?m)^\| `(\w+)` \| `\w+ \(", FORMAT)) == indexes
    assert re.findall(r"`(\w+)`", view.partition(": ")[2]) == shown
    assert f"schema version {schema.VERSION}" in FORMAT


def test_the_ref_worked_by_hand_is_the_core_s():
    assert refs.make_ref(0xA1B2C3, 12345) == "ctx_m6sc600000000c1s"
    assert "`ctx_m6sc600000000c1s`" in FORMAT


def test_the_map_shows_every_part_of_the_house():
    """Each module and each file of the core is in docs/architecture.md, so none comes without a reason to exist."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    package = ROOT / "shmctx"
    modules = [path for path in package.rglob("*.py") if path.read_text().count("\n") > 1]
    parts = [*modules, *(package / "hot" / "core").glob("*.[ch]")]
    assert len(parts) > 40

    assert [shown(path) for path in parts if f"](../{shown(path)})" not in text] == []


def session(text, name, folder):
    """The quickstart as one shell script, from its second shell block on, and the lines that it says are printed."""
    text = re.sub(r"\bquick\b", name, text).replace("/tmp/quickstart", str(folder))
    there = f"until [ -e /dev/shm/shmctx.{name} ]; do sleep 0.05; done"
    script, printed = ["set -m"], []
    for block in re.finditer(r"(?ms)^```(\w+)\n(.*?)^```\n", text):
        language, code = block.groups()
        file = re.search(r"`(\w+\.py)`:\n+\Z", text[: block.start()])
        if language == "python":
            script.append(f"{f'cat > {file[1]}' if file else 'python -'} <<'END'\n{code}END")
        elif not code.startswith("make"):
            lines = [line for line in code.splitlines() if "activate" not in line]
            script += [f"{line}\n{there}" if line.endswith("&") else line for line in lines]
        shown = re.match(r"\n((?:    [^\n]*\n)+)", text[block.end() :])
        printed += [line.strip() for line in shown[1].splitlines()] if shown else []
    return "\n".join(script), printed


def test_the_quickstart_runs_as_it_is_written(segment_name, programs, tmp_path):
    """Every command and snippet in order, under a name and in a folder of the test's own."""
    script, printed = session((ROOT / "docs" / "quickstart.md").read_text(), segment_name, tmp_path / "work")
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, timeout=100, check=False)

    print(done.stdout, done.stderr)
    assert done.returncode == 0
    assert "Error" not in done.stderr
    lines = done.stdout.splitlines()
    assert len(printed) > 3
    assert [line for line in printed if line not in lines] == []
    looked, stored, again = map(int, re.findall(r"(?m)^contexts\t(\d+)$", done.stdout))
    assert looked == stored >= 3
    assert again == 0
    assert not Path(f"/dev/shm/shmctx.{segment_name}").exists()
    assert not (tmp_path / "work").exists()

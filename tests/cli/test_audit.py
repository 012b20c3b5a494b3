"""`shmctx audit`: which files it reads, what it says of those that it cannot, and what it ends with."""

import json
import os

import pytest
from commands import assert_refused

OLD = 'x = data["_event_id"]\n'
NEW = "x = context.event_id\n"
PROBLEMS = 5


@pytest.fixture
def project(tmp_path):
    """`project({"a.py": text_or_bytes, ...})` makes a folder of files and returns its path."""

    def make(files):
        top = tmp_path / "project"
        for name, content in files.items():
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return top

    return make


def places(result, top):
    return [(row["path"].removeprefix(f"{top}/"), row["line"], row["rule"]) for row in result.rows]


def test_findings_are_rows_with_a_place_and_what_to_write(cli, project):
    top = project({"a.py": OLD, "b/c.py": "\n" + OLD, "d.py": NEW})

    result = cli("audit", top)

    assert result.code == PROBLEMS
    assert places(result, top) == [("a.py", "1", "flat-metadata"), ("b/c.py", "2", "flat-metadata")]
    assert result.rows[0]["what"] == "reads `_event_id` in `data`"
    assert result.rows[0]["instead"] == "shmctx.current().event_id"
    assert result.err == "2 findings in 2 of 3 files: flat-metadata 2\n"


def test_without_findings_it_ends_with_success(cli, project):
    result = cli("audit", project({"a.py": NEW}))

    assert (result.code, result.rows, result.err) == (0, [], "0 findings in 0 of 1 file\n")


def test_json_is_one_document(cli, project):
    top = project({"a.py": OLD, "b.py": "def"})

    result = cli("audit", top, "--json")

    told = json.loads(result.out)
    assert (result.code, result.err) == (PROBLEMS, "")
    assert (told["files"], told["rules"]) == (1, {"flat-metadata": 1})
    assert told["findings"] == [
        {
            "path": f"{top}/a.py",
            "line": 1,
            "column": 5,
            "rule": "flat-metadata",
            "what": "reads `_event_id` in `data`",
            "instead": "shmctx.current().event_id",
        }
    ]
    assert told["skipped"][0]["path"] == f"{top}/b.py"
    assert "line 1" in told["skipped"][0]["reason"]


def test_jsonl_is_a_line_for_each_finding(cli, project):
    top = project({"a.py": OLD * 2})

    lines = cli("audit", top, "--jsonl").out.splitlines()

    assert [json.loads(line)["line"] for line in lines] == [1, 2]


def test_a_terminal_gets_places_that_editors_open(terminal, project):
    top = project({"a.py": OLD})

    shown = terminal("audit", top, env={"NO_COLOR": "1"})

    assert f"{top}/a.py:1:5: flat-metadata: reads `_event_id` in `data`" in shown.out.replace("\r\n", "\n")
    assert "    instead: shmctx.current().event_id" in shown.out


# ---- which rules ----


def test_rules_are_selected_and_ignored(cli, project):
    top = project({"a.py": OLD + 'y = data["_ksi_context"]\nz = context["_event_id"]\n'})

    def rules(*options):
        return sorted({row["rule"] for row in cli("audit", top, *options).rows})

    assert rules() == ["embedded-context", "flat-metadata"]
    assert rules("--select", "flat-metadata") == ["flat-metadata"]
    assert rules("--ignore", "flat-metadata") == ["embedded-context"]
    assert rules("--select", "all") == ["context-as-dict", "embedded-context", "flat-metadata"]
    assert rules("--select", "all", "--ignore", "flat-metadata,embedded-context") == ["context-as-dict"]
    assert cli("audit", top, "--ignore", "all").code == 0


def test_an_unknown_rule_is_wrong_usage(cli, project):
    assert_refused(cli("audit", project({"a.py": OLD}), "--ignore", "flat"), 2, "there is no rule 'flat'", "--help")


def test_the_rules_are_listed(cli):
    rows = {row["rule"]: row for row in cli("audit", "--rules").rows}

    assert rows["context-as-dict"]["default"] == "false"
    assert "raw_data" in rows["raw-data"]["finds"]


# ---- which files ----


def test_python_is_told_by_suffix_or_first_line(cli, project):
    script = "#!/usr/bin/env python3\n"
    top = project({"a.pyi": OLD, "run": script + OLD, "b.txt": OLD, "README": OLD, "shell": "#!/bin/sh\n" + OLD})

    assert [path for path, *_ in places(cli("audit", top), top)] == ["a.pyi", "run"]


def test_made_and_installed_files_are_left_out_unless_they_are_named(cli, project):
    left_out = [".hidden/a.py", "venv/a.py", "build/a.py", "my-env/lib/a.py", "x.egg-info/a.py"]
    top = project(dict.fromkeys([*left_out, "a.py"], OLD) | {"my-env/pyvenv.cfg": ""})

    assert [path for path, *_ in places(cli("audit", top), top)] == ["a.py"]
    assert [path for path, *_ in places(cli("audit", top / "build"), top)] == ["build/a.py"]


def test_excluded_names_and_paths_are_left_out(cli, project):
    top = project(dict.fromkeys(["a.py", "tests/a.py", "src/tests/a.py", "src/old_a.py"], OLD))

    def kept(*options):
        return [path for path, *_ in places(cli("audit", top, *options), top)]

    assert kept("--exclude", "tests") == ["a.py", "src/old_a.py"]
    assert kept("--exclude", "tests/*") == ["a.py", "src/old_a.py", "src/tests/a.py"]
    assert kept("--exclude", "tests/", "--exclude", "old_*") == ["a.py"]


def test_a_file_that_is_reached_twice_is_read_once(cli, project):
    top = project({"a.py": OLD})

    assert len(cli("audit", top, top / "a.py").rows) == 1


def test_a_loop_of_links_ends(cli, project):
    top = project({"a.py": OLD})
    (top / "again").symlink_to(top)

    assert len(cli("audit", top).rows) == 1


BAD = {
    "syntax.py": (b"def f(:\n", "line 1"),
    "later.py": (b"x = 1\nmatch\nelse\n", "line 3"),
    "indent.py": (b"if x:\n  y\n z\n", "line 3"),
    "null.py": (b"x = 1\0\n", "null bytes"),
    "coding.py": (b"# coding: no-such-code\n", "cannot be decoded"),
    "bytes.py": (b"x = '\xff'\n", "cannot be decoded"),
    "deep.py": (b"x = " + b"(" * 5000 + b")" * 5000, "cannot be parsed"),
    "long.py": (b"x = " + b"-" * 200_000 + b"1", "nested too deeply"),
    "sum.py": (b"x = " + b"1 + " * 20_000 + b"1", "nested too deeply"),
}


@pytest.mark.parametrize("name,content,reason", [(name, *case) for name, case in BAD.items()], ids=BAD)
def test_a_file_that_cannot_be_parsed_is_reported_and_stops_nothing(cli, project, name, content, reason):
    top = project({name: content, "a.py": OLD, "z.py": OLD})

    result = cli("audit", top)

    assert [path for path, *_ in places(result, top)] == ["a.py", "z.py"]
    (said,) = [line for line in result.err.splitlines() if name in line]
    assert reason in said


def test_doubtful_literals_are_not_warned_of(cli, project):
    result = cli("audit", project({"a.py": "x = '\\d', 1 is 2\n"}))

    assert (result.code, result.err) == (0, "0 findings in 0 of 1 file\n")


def test_another_encoding_is_read_as_the_file_says(cli, project):
    top = project({"a.py": "# coding: latin-1\nx = 'ü', data['_event_id']\n".encode("latin-1")})

    assert [(row["line"], row["column"]) for row in cli("audit", top).rows] == [("2", "10")]


def test_a_named_file_that_is_no_python_is_reported(cli, project):
    top = project({"a.txt": OLD, "b.py": OLD})

    result = cli("audit", top / "a.txt", top / "b.py")

    assert [path for path, *_ in places(result, top)] == ["b.py"]
    assert f"{top}/a.txt was left out: it is no Python" in result.err


def test_what_is_no_file_is_reported(cli, project):
    top = project({"a.py": OLD})
    (top / "gone.py").symlink_to(top / "nowhere")
    os.mkfifo(top / "pipe.py")
    os.mkfifo(top / "pipe")

    result = cli("audit", top)

    assert len(result.rows) == 1
    assert f"{top}/gone.py was left out: it is not there" in result.err
    assert f"{top}/pipe.py was left out: it is no file" in result.err


def test_a_file_that_cannot_be_read_is_reported(cli, project):
    top = project({"a.py": OLD})
    (top / "b.py").symlink_to("/proc/self/mem")  # whose first page nobody has

    assert f"{top}/b.py was left out: it cannot be read: Input/output error" in cli("audit", top).err


def test_what_may_not_be_read_is_reported(cli, project):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    top = project({"a.py": OLD, "b/c.py": OLD})
    (top / "a.py").chmod(0)
    (top / "b").chmod(0)

    said = cli("audit", top).err
    (top / "b").chmod(0o700)

    assert f"{top}/a.py was left out: it cannot be read: Permission denied" in said
    assert f"{top}/b was left out: it is a folder that cannot be listed" in said


def test_names_with_control_characters_stay_on_their_line(cli, project):
    top = project({"a\nb\x1b[31m.py": OLD, "c\n.py": "def"})

    result = cli("audit", top)

    assert result.rows[0]["path"].endswith("a\\nb\\x1b[31m.py")
    assert "c\\n.py" in result.err
    assert "\x1b" not in result.out + result.err


def test_a_path_that_is_not_there_is_wrong_usage(cli, tmp_path):
    assert_refused(cli("audit", tmp_path / "nowhere"), 2, "There is no", "--help")
    assert_refused(cli("audit"), 2, "Missing argument", "--help")


def test_help_tells_it_from_the_audit_trail(cli):
    assert "audit-trail" in cli("audit", "--help").out
    assert "shmctx audit`" in cli("audit-trail", "--help").out

"""The guide: every chapter runs as it is written, and prints what it says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "guide"
CHAPTERS = sorted(path for path in GUIDE.glob("*.md") if path.name != "README.md")


def run(chapter, name, folder, programs):
    """Run one chapter in an empty directory, under a store name of the test's own."""
    folder.mkdir()
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", ROOT / "tests" / "chapter.py", chapter, name]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_a_chapter_runs_as_it_is_written(chapter, segment_name, programs, tmp_path):
    done = run(chapter, segment_name, tmp_path / "work", programs)

    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 1
    assert not Path(f"/dev/shm/shmctx.{segment_name}").exists()


def test_the_guide_lists_its_chapters():
    text = (GUIDE / "README.md").read_text()

    assert len(CHAPTERS) > 3
    assert [chapter.name for chapter in CHAPTERS if f"({chapter.name})" not in text] == []


@pytest.mark.parametrize(
    "text,problem",
    [
        ("```python\nprint(1)\n```\n\n    2\n", "instead of\n2"),
        ("```python\nprint(1)\n```\n\nsome text\n", "prints\n1"),
        ("```python\nprint(1)\n```\n\n    1\n    2\n", "instead of"),
        ("```python\nawait nothing\n```\n", "NameError"),
        ("```sh\nfalse | true\n```\n", "exit code 1"),
        ("```sh\necho a b\n```\n\n    a …c\n", "a b"),
    ],
)
def test_a_chapter_that_does_something_else_is_seen(text, problem, segment_name, programs, tmp_path):
    """The check itself."""
    (tmp_path / "some.md").write_text(text)
    done = run(tmp_path / "some.md", segment_name, tmp_path / "work", programs)

    assert done.returncode == 1
    assert problem in done.stderr


def test_what_differs_from_run_to_run_may(segment_name, programs, tmp_path):
    text = "```python\nx = 1\n```\n\n```python\nprint('a', x)\nprint('b')\n```\n\n    a …\n    b\n\nText.\n"
    (tmp_path / "some.md").write_text(text)

    assert run(tmp_path / "some.md", segment_name, tmp_path / "work", programs).stdout == "1\n"

"""What the page is made of, without a browser: nothing from elsewhere, nothing that turns text into markup."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "shmctx" / "gateway" / "static"
FILES = sorted(path for path in STATIC.rglob("*") if path.is_file())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]

MARKUP = re.compile(r"(?:inner|outer)HTML|insertAdjacentHTML|setHTML|document\.write|ContextualFragment|DOMParser")
CODE = re.compile(r"\beval\(|new Function|javascript:|setTimeout\(['\"`]")
ELSEWHERE = re.compile(r"//(?!www\.w3\.org/2000/svg)[a-z][\w-]*(?:\.[\w-]+)+")
IMPORT = re.compile(r"""(?m)^import (?:[^"]+ from )?"(?P<what>[^"]+)";""")


def shown(path):
    return str(path.relative_to(STATIC))


def test_there_is_a_page():
    assert len(SCRIPTS) > 10
    assert STATIC / "index.html" in FILES


@pytest.mark.parametrize("pattern", [MARKUP, CODE, ELSEWHERE], ids=["markup", "code", "elsewhere"])
def test_no_file_makes_markup_or_code_of_text_or_loads_from_elsewhere(pattern):
    found = [(shown(path), match[0]) for path in FILES for match in pattern.finditer(path.read_text())]

    assert found == []


def test_the_page_keeps_within_a_policy_without_inline_scripts_and_styles():
    page = (STATIC / "index.html").read_text()

    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", page) == []


def test_every_import_is_a_file_and_every_script_is_reached():
    reached, waiting = set(), [STATIC / "main.js"]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += [(path.parent / match["what"]).resolve() for match in IMPORT.finditer(path.read_text())]

    assert sorted(map(shown, reached)) == sorted(map(shown, SCRIPTS))


def test_the_page_names_all_scripts_so_that_they_come_at_once():
    preloaded = re.findall(r'rel="modulepreload" href="/static/([^"]+)"', (STATIC / "index.html").read_text())

    assert sorted([*preloaded, "main.js"]) == sorted(map(shown, SCRIPTS))


def test_scripts_fit_in_the_reader_s_head():
    assert [shown(path) for path in SCRIPTS if len(path.read_text().splitlines()) > 350] == []


def test_an_installed_package_has_every_file():
    """Only what package-data names is in a wheel."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packed = {path for pattern in patterns["shmctx.gateway"] for path in (ROOT / "shmctx/gateway").glob(pattern)}

    assert [shown(path) for path in FILES if path not in packed] == []

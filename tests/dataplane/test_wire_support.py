"""docs/wire_support.md: every numbered line of what steer promises is there, with tests that exist."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.dataplane.test_vectors import VECTORS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "wire_support.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| ((?:ECS|DNS)-\d+) \| (.*) \|$", TEXT, re.MULTILINE))
LINES = [f"ECS-{number}" for number in range(1, 24)] + [f"DNS-{number}" for number in range(1, 15)]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))


def test_every_line_is_there_once_and_in_order() -> None:
    assert re.findall(r"^\| ((?:ECS|DNS)-\d+) \|", TEXT, re.MULTILINE) == LINES


@pytest.mark.parametrize("line", LINES)
def test_every_line_is_shown_by_vectors_or_named_tests(line: str) -> None:
    shown_by = ROWS[line].rsplit(" | ", 1)[1]
    has_vectors = Counter(vector.line for vector in VECTORS)[line] >= 2
    assert has_vectors == shown_by.startswith("vectors"), "says `vectors` where there are"
    assert has_vectors or "::test_" in shown_by


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_every_test_named_exists(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert name in {node.name for node in tree.body if isinstance(node, functions)}


def test_tests_are_named_and_what_is_not_supported_has_reasons() -> None:
    assert len(NAMED) > 20
    unsupported = TEXT.split("## What is not supported")[1].strip().splitlines()[2:]
    assert len(unsupported) > 10
    assert all(len(row.split(" | ")) == 3 for row in unsupported)

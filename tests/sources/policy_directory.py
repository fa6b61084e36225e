"""Copies of policies/example for tests to change, and what the readers say of them."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steer.errors import Refused
from steer.model.deployment import Deployment
from steer.sources.deployment_files import read_deployment

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "policies" / "example"
ZONE = "cdn.example.yaml"


def copy_example(to: Path) -> Path:
    """A copy of the example directory below `to`."""
    return Path(shutil.copytree(EXAMPLE, to / "policy"))


def change(directory: Path, file: str, old: str, new: str) -> None:
    """Replace the first `old` in a file of the directory; it must be there."""
    path = directory / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@contextmanager
def inside(directory: Path) -> Iterator[None]:
    """With the directory as the current one, so that messages name files alone."""
    before = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


def faults_of(directory: Path) -> list[str]:
    """Every fault, as printed; empty where the directory is taken."""
    with inside(directory):
        try:
            read_deployment(Path())
        except Refused as refused:
            return [str(fault) for fault in refused.faults]
    return []


def taken(directory: Path) -> tuple[Deployment, list[str]]:
    """The deployment and its warnings, as printed."""
    with inside(directory):
        deployment, warnings = read_deployment(Path())
    return deployment, [str(warning) for warning in warnings]

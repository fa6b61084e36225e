"""The child that compares two versions for a running server."""

from collections.abc import Callable
from typing import Any

from steer.control.child import run_child, serve_child
from steer.control.movement import Comparison, measure
from steer.decide.movement_report import movement_json


async def measured(comparison: Comparison, progress: Callable[[str], None]) -> dict[str, Any]:
    """What moves, as JSON, worked out by a child. Raises Refused for unsound databases, ChildFailed."""
    found: dict[str, Any] = await run_child(__name__, comparison, progress)
    return found


def _work(comparison: Comparison, progress: Callable[[str], None]) -> dict[str, Any]:
    return movement_json(measure(comparison, progress))


if __name__ == "__main__":
    serve_child(_work)

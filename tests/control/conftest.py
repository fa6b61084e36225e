"""Fixtures of the end-to-end tests."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from steer.telemetry.log_lines import LineFormatter
from tests.control.cdn import Cdn, made_cdn


@pytest.fixture(autouse=True)
def _logs_end_with_their_command() -> Iterator[None]:
    """A command that ran in this process set up its log for good; the next test starts without it."""
    root = logging.getLogger()
    level = root.level
    yield
    root.handlers[:] = [each for each in root.handlers if not isinstance(each.formatter, LineFormatter)]
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture
def cdn(tmp_path: Path) -> Iterator[Cdn]:
    """A CDN of three POPs; whatever of it is still running at the end is killed."""
    with made_cdn(tmp_path) as cdn:
        started = []
        start = Cdn.start

        def remember(self: Cdn) -> object:
            started.append(start(self))
            return started[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Cdn, "start", remember)
            yield cdn
        for server in started:
            server.kill()

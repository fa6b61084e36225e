"""Fixtures of the end-to-end tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control.cdn import Cdn, made_cdn


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

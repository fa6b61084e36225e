"""A headless Chromium for tests, driven by playwright; the tests are skipped where there is none."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.async_api import Browser

CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--no-sandbox",  # a container's root has none
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP *.b.cdn.example 127.0.0.1",
)


def needs_chromium() -> None:
    """Skip the test, and say why, where there is no browser or nothing to drive it."""
    if CHROMIUM is None:
        pytest.skip("no chromium (scripts/install-test-tools.sh installs it)")
    pytest.importorskip("playwright", reason="no playwright (pip install -e '.[dev]')")


@asynccontextmanager
async def browser() -> AsyncIterator["Browser"]:
    """A running browser."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield running
        finally:
            await running.close()

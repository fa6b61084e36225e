"""The two engines by name, for tests that ask both."""

import pytest

from tests.product_world import Ask, Parts, native_ask, reference_ask

ENGINES = ("reference", "native")


def ask_of(engine: str, parts: Parts) -> Ask:
    """The engine, or a skip that says why."""
    ask = native_ask(parts) if engine == "native" else reference_ask(parts)
    if ask is None:
        pytest.skip("the native engine is not built")
    return ask

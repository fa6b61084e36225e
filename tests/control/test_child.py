"""Work done by a child: results, faults, and children that end badly or are not wanted any more."""

import asyncio
import os

import pytest

from steer.control.child import ChildFailed, run_child
from steer.errors import Refused

TASKS = "tests.control.child_tasks"


def done(order: str) -> object:
    return asyncio.run(run_child(TASKS, order, lambda _: None))


def test_a_result_and_progress() -> None:
    said: list[str] = []
    assert asyncio.run(run_child(TASKS, "echo", said.append)) == {"did": "echo"}
    assert [text.split()[0] for text in said] == ["pid"]


def test_faults_come_back_as_they_were() -> None:
    with pytest.raises(Refused) as refused:
        done("refuse")
    assert [str(fault) for fault in refused.value.faults] == ["city.mmdb: is cut off; fetch it again"]


@pytest.mark.parametrize("order", ["raise", "exit", "babble"])
def test_a_child_that_ends_badly_is_told(order: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ChildFailed):
        done(order)
    assert ("a fault of ours" in capfd.readouterr().err) == (order == "raise")


def test_a_child_that_is_not_wanted_any_more_ends() -> None:
    async def cancelled() -> int:
        said: list[str] = []
        started = asyncio.Event()

        def hear(text: str) -> None:
            said.append(text)
            started.set()

        task = asyncio.create_task(run_child(TASKS, "sleep", hear))
        await started.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return int(said[0].split()[1])

    number = asyncio.run(cancelled())
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)

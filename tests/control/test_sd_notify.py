"""What systemd is told, read back from a real socket."""

import socket
from pathlib import Path

import pytest

from steer.control.sd_notify import ServiceManager, service_manager


def test_messages_arrive(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        manager = service_manager({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, 7)
        assert manager.watchdog_s == 3.0
        manager.ready("serving")
        manager.reloading(5_000_999)
        manager.status("one")
        manager.alive()
        manager.stopping()
        said = [receiver.recv(999) for _ in range(5)]
    assert said == [
        b"READY=1\nSTATUS=serving",
        b"RELOADING=1\nMONOTONIC_USEC=5000",
        b"STATUS=one",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]


def test_an_abstract_socket_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0steer-test-24000")
        ServiceManager("@steer-test-24000").stopping()
        assert receiver.recv(99) == b"STOPPING=1"


@pytest.mark.parametrize(
    "environment",
    [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": "vsock:2:1"}],
)
def test_without_a_socket_nothing_is_sent(environment: dict[str, str]) -> None:
    manager = service_manager(environment, 1)
    assert manager == ServiceManager()
    manager.ready("x")
    manager.alive()


@pytest.mark.parametrize("usec", ["", "x", "-5", "²"])
def test_a_watchdog_that_is_no_number_is_none(usec: str) -> None:
    assert service_manager({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": usec}, 1).watchdog_s == 0
    assert (
        service_manager({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "5", "WATCHDOG_PID": "2"}, 1).watchdog_s == 0
    )


def test_a_manager_that_is_gone_harms_nobody(tmp_path: Path) -> None:
    ServiceManager(str(tmp_path / "gone")).ready("x")

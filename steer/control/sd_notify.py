"""Tell systemd how the service fares (sd_notify(3)): datagrams to the socket that it names, nothing where it
names none. The environment is an argument."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """Where to send word; `address` empty: nobody asked. `watchdog_s`: the longest silence allowed, 0:
    any."""

    address: str = ""
    watchdog_s: float = 0.0

    def ready(self, status: str) -> None:
        """The server answers queries."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self, monotonic_ns: int) -> None:
        """A reload begins; `ready` ends it. `monotonic_ns`: CLOCK_MONOTONIC now (Type=notify-reload)."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_ns // 1000}")

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={status}")

    def alive(self) -> None:
        """The main loop turns; due at least every `watchdog_s`."""
        if self.watchdog_s:
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The server has begun to end."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self.address:
            return
        name = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(text.encode(errors="replace"), name)
            except OSError:
                return  # word to a manager that is gone is worth no failure


def service_manager(environment: Mapping[str, str], process_id: int) -> ServiceManager:
    """The manager that the environment names ($NOTIFY_SOCKET, $WATCHDOG_USEC, $WATCHDOG_PID), if any."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return ServiceManager()
    microseconds = environment.get("WATCHDOG_USEC", "")
    for_us = environment.get("WATCHDOG_PID", str(process_id)) == str(process_id)
    watchdog_s = (
        int(microseconds) / 1e6 if for_us and microseconds.isascii() and microseconds.isdecimal() else 0.0
    )
    return ServiceManager(address, watchdog_s)

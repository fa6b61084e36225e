"""Root is given up for good: shown in a child process, since there is no way back."""

import os
import pwd
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from steer.control import privileges
from steer.errors import Refused

USER = "nobody"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def in_child(work: Callable[[], str]) -> str:
    """What `work` returns (or raises, as text) in a child process."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, work().encode())
        except BaseException as error:  # noqa: BLE001 (told to the parent)
            os.write(write, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return said


@needs_root
def test_root_is_gone_in_every_form() -> None:
    def work() -> str:
        privileges.drop_privileges(USER)
        return f"{os.getresuid()} {os.getresgid()} {os.getgroups()}"

    account = pwd.getpwnam(USER)
    said = in_child(work)
    assert said.startswith(f"{(account.pw_uid,) * 3} {(account.pw_gid,) * 3} ")
    assert "0" not in said.rsplit("[", 1)[1].strip("]").split(", ")


@needs_root
@pytest.mark.parametrize("regain", ["setuid", "setgid", "seteuid"])
def test_root_cannot_be_had_back(regain: str) -> None:
    def work() -> str:
        privileges.drop_privileges(USER)
        getattr(os, regain)(0)
        return "root again"

    assert in_child(work).startswith("PermissionError")


@needs_root
def test_a_privileged_port_bound_before_stays_bound() -> None:
    def work() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as early:
            early.bind(("127.0.0.24", 24))
            privileges.drop_privileges(USER)
            early.sendto(b"kept", early.getsockname())
            return early.recv(99).decode()

    assert in_child(work) == "kept"


@needs_root
def test_an_incomplete_drop_ends_the_process() -> None:
    def work() -> str:
        privileges._prove_dropped(os.getuid())
        return "went on"

    assert in_child(work).startswith("SystemExit: steer: root could be had back")


@needs_root
def test_who_cannot_become_another_is_told() -> None:
    def work() -> str:
        privileges.drop_privileges(USER)
        privileges.drop_privileges("root")
        return "went on"

    assert in_child(work).startswith("Refused: user root: only root can become another user")


def test_becoming_oneself_is_nothing() -> None:
    privileges.drop_privileges(pwd.getpwuid(os.getuid()).pw_name)


def test_an_unknown_user_is_a_fault() -> None:
    with pytest.raises(Refused, match="no such user"):
        privileges.drop_privileges("steer-no-such-user")


@needs_root
def test_a_state_directory_is_handed_over_whole(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    (directory / "maps").mkdir(parents=True)
    (directory / "maps" / "x").write_text("x")
    privileges.give_to(USER, directory)
    owners = {path.stat().st_uid for path in (directory, *directory.rglob("*"))}
    assert owners == {pwd.getpwnam(USER).pw_uid}

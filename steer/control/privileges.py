"""Give up root for good, once the sockets are bound."""

import grp
import os
import pwd
from pathlib import Path

from steer.errors import Fault, Refused


def drop_privileges(user: str) -> None:
    """Become `user`, with that user's groups alone, in every thread; proved by trying to come back.

    Nothing to do where we are that user already. Raises Refused where the user is unknown or we may not."""
    account = _account(user)
    if os.getresuid() == (account.pw_uid,) * 3:
        return
    if os.geteuid() != 0:
        fix = "start steer as root or as that user, or leave `user:` out"
        raise Refused([Fault(f"user {user}", 0, 0, "only root can become another user", fix)])
    os.setgroups(_groups(account))  # first: afterwards we may not
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    if account.pw_uid != 0:
        _prove_dropped(account.pw_uid)


def give_to(user: str, directory: Path) -> None:
    """Give `directory` and all in it to `user`, so that it stays writable after root is given up."""
    account = _account(user)
    if os.geteuid() != 0:
        return
    for path in (directory, *directory.rglob("*")):
        if path.lstat().st_uid != account.pw_uid:
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def _account(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        fix = f"add it (useradd --system {user}), or name another under `user:`"
        raise Refused([Fault(f"user {user}", 0, 0, "this machine has no such user", fix)]) from None


def _groups(account: pwd.struct_passwd) -> list[int]:
    named = [group.gr_gid for group in grp.getgrall() if account.pw_name in group.gr_mem]
    return sorted({account.pw_gid, *named})


def _prove_dropped(uid: int) -> None:
    """End at once if root can be had back: serving hostile packets with it is worse than not serving."""
    for regain in (os.setuid, os.setgid, os.seteuid, os.setegid):
        try:
            regain(0)
        except PermissionError:
            continue
        raise SystemExit("steer: root could be had back after it was given up; not serving")
    if os.getresuid() != (uid,) * 3 or 0 in os.getresgid():
        raise SystemExit("steer: root was not given up whole; not serving")

"""The bearer token with which the API may change things, and who else can read its file."""

from pathlib import Path

from steer.errors import Fault, Refused

TOKEN_BYTES = (16, 1024)  # shortest and longest bearer token
_OTHERS_BITS = 0o077


def read_token(path: Path | None) -> str:
    """The bearer token; '' where no file is named. Raises Refused for an unusable one."""
    if path is None:
        return ""
    fix = (
        "write a long random word into it, such as `openssl rand -hex 32` gives, readable for its owner alone"
    )
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused([Fault(str(path), 0, 0, f"the API's token cannot be read: {error}", fix)]) from error
    if not TOKEN_BYTES[0] <= len(token) <= TOKEN_BYTES[1] or not token.isprintable() or " " in token:
        wrong = f"the API's token is not one word of {TOKEN_BYTES[0]} to {TOKEN_BYTES[1]} characters"
        raise Refused([Fault(str(path), 1, 1, wrong, fix)])
    return token


def token_warnings(path: Path | None) -> tuple[Fault, ...]:
    """A warning where others than its owner can read the token's file."""
    try:
        is_shared = path is not None and bool(path.stat().st_mode & _OTHERS_BITS)
    except OSError:
        return ()  # whoever needs the token says so
    if not is_shared:
        return ()
    return (Fault(str(path), 0, 0, "others than its owner can read the API's token", "chmod 600 it"),)

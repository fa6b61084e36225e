"""`tcp`, `cookies`, `rate_limit` and `identity` of steer.yaml as values, and files of cookie secrets."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from steer.model.deployment import CookieSettings, Identity, RateLimit, ServerSettings
from tests.sources.policy_directory import change, copy_example, faults_of, taken

FIRST, SECOND = "00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100"


def settings(tmp_path: Path, lines: str) -> ServerSettings:
    directory = copy_example(tmp_path)
    change(directory, "steer.yaml", "zones:", f"{lines}\nzones:")
    return taken(directory)[0].server


def test_nothing_said_is_safe(tmp_path: Path) -> None:
    server = settings(tmp_path, "# nothing")
    assert server.cookies == CookieSettings(True, ())
    assert server.rate_limit == RateLimit(2000, 4000, 2, 24, 56)
    assert ip_network("127.0.0.0/8") in server.rate_limit.exempt
    assert server.identity == Identity(None, None, "")
    assert server.tcp_total_s == 300.0


def test_everything_said(tmp_path: Path) -> None:
    server = settings(
        tmp_path,
        "tcp: {total: 2m}\ncookies: {enabled: false}\nidentity: {nsid: false, id_server: a b, version: '1'}\n"
        "rate_limit: {per_second: 5, burst: 0, slip: 0, ipv4: 32, ipv6: 64, "
        "exempt: [192.0.2.1, '2001:db8::/32']}",
    )
    assert server.tcp_total_s == 120.0
    assert server.cookies == CookieSettings(False, ())
    assert server.identity == Identity("", "a b", "1")
    exempt = (ip_network("192.0.2.1/32"), ip_network("2001:db8::/32"))
    assert server.rate_limit == RateLimit(5, 0, 0, 32, 64, exempt)


@pytest.mark.parametrize(
    "said", ["rate_limit: off", "rate_limit: {per_second: off}", "rate_limit: {per_second: 0}"]
)
def test_no_limit(said: str, tmp_path: Path) -> None:
    assert settings(tmp_path, said).rate_limit.per_second == 0


def test_a_burst_follows_the_rate(tmp_path: Path) -> None:
    limit = settings(tmp_path, "rate_limit: {per_second: 7, exempt: []}").rate_limit
    assert (limit.burst, limit.exempt) == (14, ())


def directory_with(tmp_path: Path, secrets: bytes, mode: int = 0o600) -> Path:
    directory = copy_example(tmp_path)
    change(directory, "steer.yaml", "zones:", "cookies: {secrets: s}\nzones:")
    (directory / "s").write_bytes(secrets)
    (directory / "s").chmod(mode)
    return directory


def test_secrets_in_their_order(tmp_path: Path) -> None:
    text = f"# newest first\n{FIRST}\n\n{SECOND.upper()}  # until May\n".encode()
    deployment, warnings = taken(directory_with(tmp_path, text))
    assert deployment.server.cookies.secrets == (bytes.fromhex(FIRST), bytes.fromhex(SECOND))
    assert Path("s") in deployment.files
    assert FIRST not in repr(deployment)
    assert warnings == []


def test_secrets_that_others_can_read_are_warned_of(tmp_path: Path) -> None:
    _, warnings = taken(directory_with(tmp_path, FIRST.encode(), 0o640))
    assert warnings == ["s:1:1: others than its owner can read the cookie secrets; chmod 600 it"]


DIGITS = "write 32 hexadecimal digits, as `openssl rand -hex 16` gives them"


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", [f"s:1:1: no cookie secret; {DIGITS}"]),
        ("# none\n", [f"s:1:1: no cookie secret; {DIGITS}"]),
        (
            f"{FIRST}0\n{FIRST[1:]}\n{FIRST[1:]}g\nÿ",
            [f"s:{n}:1: not a cookie secret of 16 bytes; {DIGITS}" for n in range(1, 5)],
        ),
        (f"{FIRST}\n{FIRST.upper()}\n", ["s:2:1: the secret of line 1 again; remove one of them"]),
        (
            "".join(f"{n:032x}\n" for n in range(9)),
            ["s:5:1: more than 4 secrets; keep the newest, which makes cookies, first; remove the oldest"],
        ),
    ],
)
def test_secrets_that_will_not_do(text: str, faults: list[str], tmp_path: Path) -> None:
    found = faults_of(directory_with(tmp_path, text.encode()))
    assert found == faults
    assert not any(FIRST[:8] in fault for fault in found)

"""What is wrong in the text of an HTTPS or SVCB record, by the SvcParam at fault (RFC 9460 section 2.1).

dnspython refuses such a record whole; each of its parameters is tried by itself, so that a fault names it."""

import re

import dns.exception
import dns.rdata

from steer.sources.fields import suggestion
from steer.sources.located_yaml import quoted
from steer.sources.scalars import Wrong

_EXAMPLES = {
    "alpn": "alpn=h2,h3",
    "port": "port=8443",
    "ipv4hint": "ipv4hint=192.0.2.1",
    "ipv6hint": "ipv6hint=2001:db8::1",
    "ech": "ech=<base64>",
    "mandatory": "mandatory=alpn",
    "no-default-alpn": "no-default-alpn",
    "dohpath": "dohpath=/dns-query{?dns}",
}
_NUMBERS = {1: "alpn", 2: "no-default-alpn", 3: "port", 4: "ipv4hint", 5: "ech", 6: "ipv6hint", 7: "dohpath"}
_OF_OTHERS = ("mandatory", "no-default-alpn")  # whether they are right depends on the other parameters
_TRIED_MAX = 100
_TOKEN = re.compile(r';[^\n]*|((?:[^\s"();\\]|\\.|"(?:[^"\\]|\\.)*")+)')
_NUMBERED = re.compile(r"key(?:0|[1-9][0-9]{0,4})\Z")
_NOT_PRESENT = re.compile(r"key (\d+) declared mandatory but not present")


def explain_svcb(word: str, entry: str, said: str) -> Wrong | None:
    """The fault in an entry of type `word` (HTTPS or SVCB) of which dnspython said `said`; None where it is
    in no parameter."""
    tokens = [found[1] for found in _TOKEN.finditer(entry) if found[1]]
    first = 0 if entry[0].isspace() else 1  # not the owner
    places = [at for at, token in enumerate(tokens[:5]) if at >= first and token.upper() == word]
    parameters = tokens[places[0] + 3 :][:_TRIED_MAX] if places else []
    keys: set[str] = set()
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key in keys:
            return f"SvcParam {quoted(key)} stands twice in the {word} record", "keep one of them"
        keys.add(key)
        if key not in _EXAMPLES and not _NUMBERED.match(key) and not _is_good(word, parameter):
            fix = suggestion(key, (*_EXAMPLES, "key65400"), "the parameters are")
            return f"unknown SvcParam {quoted(key)} in the {word} record", fix
        if key not in _OF_OTHERS and not _is_good(word, parameter):
            return _unreadable(word, key, value)
    missing = _NOT_PRESENT.search(said)
    if missing:
        key = _NUMBERS.get(int(missing[1]), f"key{missing[1]}")
        fix = f"add `{_EXAMPLES.get(key, f'{key}=…')}`, or take it out of `mandatory`"
        return f"`mandatory` names `{key}`, which the {word} record does not have", fix
    if "alpn missing" in said:
        fix = "add `alpn=h2,h3`, or leave it out (RFC 9460 section 7.1.1)"
        return f"the {word} record has `no-default-alpn` but no `alpn`", fix
    return None


def _unreadable(word: str, key: str, value: str) -> Wrong:
    shown = f"has the value {quoted(value)}, which cannot be read" if value.strip('"') else "has no value"
    fix = f"write such as `{_EXAMPLES.get(key, f'{key}=text')}`"
    if key in ("ipv4hint", "ipv6hint"):
        fix = f"leave hints out at steered names, steer fills them in; elsewhere {fix}"
    return f"SvcParam `{key}` of the {word} record {shown}", fix


def _is_good(word: str, parameter: str) -> bool:
    try:
        dns.rdata.from_text("IN", word, f"1 . {parameter}")
    except (dns.exception.DNSException, ValueError, OverflowError):
        return False
    return True

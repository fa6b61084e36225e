"""Tickets of page views: who got one may report once, soon, from where it was given, and only of what it was
told to measure.

A ticket is a text that carries its own content and a MAC over it and the client's unit (RFC 2104), so that
nothing is kept for those that never come back. The clock is an argument."""

import hashlib
import hmac
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

from steer.model.service import Prefix

LIFE_S = 120
KEY_BYTES = 32
LABEL_CHARACTERS = 26  # base32 of 16 random bytes, lower case: a DNS label, too many to be guessed
LONGEST_TICKET = 1024
SPENT_MAX = 65_536  # spent tickets that are remembered: the largest rate for their whole life
_MAC_HEX_DIGITS = 32

Spent = Literal["new", "replayed", "busy"]
BadTicket = Literal["forged", "expired"]


@dataclass(frozen=True, slots=True)
class Ticket:
    """One page view's. `label`: of the host name whose look-up joins resolver and client; `targets`: what may
    be reported."""

    label: str
    issued_s: int
    targets: tuple[str, ...]


def issue(key: bytes, ticket: Ticket, unit: Prefix) -> str:
    """The ticket as text, for a client in this unit."""
    content = f"{ticket.issued_s}.{ticket.label}.{','.join(ticket.targets)}"
    return f"{content}.{_mac(key, content, unit)}"


def read_ticket(key: bytes, text: str, unit: Prefix, now_s: float) -> Ticket | BadTicket:
    """The ticket that was issued to this unit with this key; or why it is none. `text` is hostile."""
    if len(text) > LONGEST_TICKET or not text.isascii():
        return "forged"
    content, _, mac = text.rpartition(".")
    if not hmac.compare_digest(mac, _mac(key, content, unit)):
        return "forged"
    issued, label, targets = content.split(".")  # as `issue` made it: the MAC proves that
    ticket = Ticket(label, int(issued), tuple(targets.split(",")))
    return ticket if 0 <= now_s - ticket.issued_s <= LIFE_S else "expired"


def label_of(chance: bytes) -> str:
    """The label made of 16 random bytes."""
    digits = "abcdefghijklmnopqrstuvwxyz234567"
    number = int.from_bytes(chance, "big")
    return "".join(digits[number >> 5 * place & 31] for place in range(LABEL_CHARACTERS))


@dataclass(slots=True)
class SpentTickets:
    """Labels of tickets that were used, as long as those live. A full table refuses: to forget would be to
    let a ticket count twice."""

    most: int = SPENT_MAX
    _until_s: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._until_s)

    def spend(self, label: str, now_s: float) -> Spent:
        """Use a ticket that was good at `now_s`, a clock that never goes back."""
        while self._until_s and next(iter(self._until_s.values())) < now_s:
            self._until_s.popitem(last=False)
        if label in self._until_s:
            return "replayed"
        if len(self._until_s) >= self.most:
            return "busy"
        self._until_s[label] = now_s + LIFE_S
        return "new"


def _mac(key: bytes, content: str, unit: Prefix) -> str:
    message = f"steer beacon ticket\0{unit}\0{content}".encode()
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:_MAC_HEX_DIGITS]

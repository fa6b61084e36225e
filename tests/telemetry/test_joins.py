"""A beacon's labels: who asked first, for ten minutes; and who arrived, each once."""

import numpy as np
import pytest

from steer.model.observed import ARRIVAL_ROW, Join, Unit
from steer.telemetry import arrivals as arrivals_module
from steer.telemetry import joins as joins_module
from steer.telemetry.arrivals import ArrivalBook
from steer.telemetry.joins import KEPT_S, JoinBook

FIRST, SECOND = Unit(4, 0x85010700 << 32), Unit(6, 0x20010DB800010000)


def test_a_label_leads_to_who_asked_for_it_first() -> None:
    book = JoinBook()
    book.add([Join(b"abc", FIRST, None), Join(b"abc", SECOND, None), Join(b"def", SECOND, None)], 10.0)
    book.add([Join(b"abc", SECOND, None)], 20.0)
    assert str(book.resolver_of("ABC", 30.0)) == "133.1.7.0/24"
    assert str(book.resolver_of("def", 30.0)) == "2001:db8:1::/48"
    assert book.resolver_of("abcd", 30.0) is None
    assert book.resolver_of("ä", 30.0) is None


def test_labels_are_forgotten_after_ten_minutes() -> None:
    book = JoinBook()
    book.add([Join(b"old", FIRST, None)], 0.0)
    book.add([Join(b"new", FIRST, None)], 100.0)
    assert book.resolver_of("old", KEPT_S) is not None
    assert book.resolver_of("old", KEPT_S + 1) is None
    assert len(book) == 1
    book.add([Join(b"old", SECOND, None)], KEPT_S + 2)
    assert str(book.resolver_of("old", KEPT_S + 2)) == "2001:db8:1::/48"


def test_the_oldest_give_way_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joins_module, "JOINS_MAX", 100)
    book = JoinBook()
    for number in range(250):
        book.add([Join(b"%d" % number, FIRST, None)], float(number))
    assert len(book) == 100
    assert book.resolver_of("149", 250.0) is None
    assert book.resolver_of("150", 250.0) is not None


def rows(*given: tuple[Unit, Unit | None, int]) -> np.ndarray:
    return np.array(
        [
            (
                source.start,
                client.start if client else 0,
                count,
                source.family,
                client.family if client else 0,
                (0,) * 6,
            )
            for source, client, count in given
        ],
        dtype=ARRIVAL_ROW,
    )


def test_arrivals_are_told_once_each() -> None:
    book = ArrivalBook()
    assert book.add(rows((FIRST, None, 5), (FIRST, SECOND, 2), (SECOND, None, 1))) == 6
    assert book.add(rows((FIRST, None, 1))) == 1
    arrived = book.take()
    assert arrived.sources == (FIRST, SECOND)
    assert arrived.pairs == ((FIRST, SECOND),)
    assert book.take().sources == ()


def test_arrivals_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals_module, "SOURCES_MAX", 10)
    monkeypatch.setattr(arrivals_module, "PAIRS_MAX", 10)
    book = ArrivalBook()
    units = [Unit(4, number << 40) for number in range(1, 100)]
    assert book.add(rows(*((unit, None, 2) for unit in units), *((unit, unit, 2) for unit in units))) == 198
    arrived = book.take()
    assert (len(arrived.sources), len(arrived.pairs)) == (10, 10)

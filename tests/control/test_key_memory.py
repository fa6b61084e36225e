"""Which keys did what, kept over restarts without anything private."""

import pytest

from steer.control.key_memory import pack_keys, unpack_keys, with_private
from steer.model.dnssec import FLAGS_ZSK
from tests.publish.signed_zones import CSK, key_set, make_key


def test_key_sets_are_kept_without_private_keys() -> None:
    keys = key_set(CSK, make_key(25, FLAGS_ZSK))
    packed = pack_keys({"cdn.example": keys})
    assert CSK.private.hex().encode() not in packed
    known = unpack_keys(packed)["cdn.example"]
    assert known.dnskey_rdata == keys.dnskey_rdata
    assert all(not key.private for key in (*known.published, *known.signs_dnskey, *known.signs_zone))
    back = with_private(known, [CSK])
    assert back.signs_dnskey == (CSK,)
    assert [key.private for key in back.signs_zone] == [b""]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'{"a": 1}',
        b'{"a": {}}',
        b'{"a": {"published": ["00"]}}',
        b'{"a": {"published": [1]}}',
    ],
)
def test_key_sets_that_are_none_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        unpack_keys(data)

"""Records of a MaxMind DB, decoded by the library, each value that several records share only once.

A record is mostly pointers to keys, names and maps that many records have; hundreds of thousands of records
point to a few ten thousand values. So maps are taken apart here, and what a pointer leads to is
remembered."""

from maxminddb.decoder import Decoder
from maxminddb.types import Record

POINTER, MAP = 1, 7  # types, in the upper three bits of a value's first byte
LONG_SIZE = 29  # from here on the size stands in further bytes: left to the library
MOST_ENTRIES = 1 << 15  # of the maps of one record; the library allows twice as many values
MOST_REMEMBERED = 1 << 17  # values; a database of more shares few of them


class RecordDecoder:
    """Decodes values of one file, whose data section begins at `data_start`. Nobody may change the values."""

    def __init__(self, content: bytes, data_start: int) -> None:
        self._content = content
        self._data_start = data_start
        self._decoder = Decoder(content, data_start)
        self._entries_left = 0
        self._remembered: dict[bytes, Record] = {}  # by the bytes of the pointer

    def decode(self, offset: int) -> Record:
        """The value at an offset in the data section; raises what the library raises on corrupt bytes.

        What a pointer leads to is decoded by the library, which bounds depth, number and size; the entries of
        maps outside pointers are counted here.
        """
        self._entries_left = MOST_ENTRIES
        return self._decode(self._data_start + offset)[0]

    def _decode(self, at: int) -> tuple[Record, int]:
        """The value at a byte of the file, and where the next one begins."""
        first = self._content[at]
        kind = first >> 5
        if kind == POINTER:
            end = at + 2 + (first >> 3 & 3)
            pointer = self._content[at:end]
            value = self._remembered.get(pointer)
            if value is None:
                value, _ = self._decoder.decode(at)
                if len(self._remembered) >= MOST_REMEMBERED:
                    self._remembered.clear()
                self._remembered[pointer] = value
            return value, end
        if kind != MAP or first & 31 >= LONG_SIZE:
            return self._decoder.decode(at)
        self._entries_left -= first & 31
        if self._entries_left < 0:
            raise ValueError("a record has too many entries")
        at += 1
        entries: dict[str, Record] = {}
        for _ in range(first & 31):
            key, at = self._decode(at)
            value, at = self._decode(at)
            if not isinstance(key, str):
                raise TypeError("a map has a key that is no text")
            entries[key] = value
        return entries, at

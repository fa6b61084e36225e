"""The plan of one client in a map, found by a walk like the engines' (docs/snapshot_format.md, "Map").

For `explain`: it opens a map in microseconds, where sweeping or proving one takes seconds. The part must be
one that steer has written and that was proved when it was taken up."""

import mmap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steer.model.networks import FAMILIES, Family
from steer.publish import format as fmt
from steer.publish.format import BadPart, Part, Section
from steer.publish.map_part import read_memo

_MASK_64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class MapLookup:
    """A map's tables as they lie in its file. `slots`: (zone, policy, service)."""

    slots: tuple[tuple[str, str, str], ...]
    _shape: np.void
    _direct: dict[Family, NDArray[np.uint32]]
    _nodes: NDArray[np.void]
    _rows: NDArray[np.uint8]
    _plan_of_class: NDArray[np.uint32]
    _fallback_plan: NDArray[np.uint32]
    _source_starts: NDArray[np.void]
    _source_classes: NDArray[np.uint16]
    _views: NDArray[np.uint16]

    @classmethod
    def open(cls, path: Path) -> "MapLookup":
        """A map file. Raises OSError, or BadPart for what is no map."""
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        part = fmt.load_part(memoryview(data), Part.MAP, check_crc32=False)
        shapes = part.array(Section.MAP_SHAPE, fmt.MAP_SHAPE)
        memo = read_memo(part)
        if len(shapes) != 1 or not isinstance(memo.get("slots"), list):
            raise BadPart("the map has no shape or no slots")
        sections = (Section.V4_DIRECT, Section.V6_DIRECT)
        return cls(
            tuple((zone, policy, service) for zone, policy, service in memo["slots"]),
            shapes[0],
            {
                family: part.array(section, fmt.U32)
                for family, section in zip(FAMILIES, sections, strict=True)
            },
            part.array(Section.TRIE_NODES, fmt.TRIE_NODE),
            part.array(Section.LEAF_ROWS, fmt.BYTE),
            part.array(Section.PLAN_OF_CLASS, fmt.U32),
            part.array(Section.FALLBACK_PLAN, fmt.U32),
            part.array(Section.SOURCE_STARTS, fmt.SOURCE_START),
            part.array(Section.SOURCE_CLASSES, fmt.U16),
            part.array(Section.VIEWS, fmt.U16),
        )

    def plan(
        self, slot: tuple[str, str, str], source128: int, ecs: bool, family: Family, key: int | None
    ) -> int | None:
        """The plan of the client at a 64-bit key, or of one of whom nothing is known (`key` None).
        `source128`: the source address (IPv4 as ::ffff:a.b.c.d). None: the map has no such slot."""
        if slot not in self.slots:
            return None
        source_classes = int(self._shape["source_class_count"])
        view = self.slots.index(slot) * source_classes + self._source_class(source128)
        partition = int(self._views[2 * view + ecs])
        code = fmt.SPECIAL if key is None else self._class(family, key)
        if code & fmt.SPECIAL:
            return int(self._fallback_plan[partition])
        return int(self._plan_of_class[code * int(self._shape["partition_count"]) + partition])

    def _class(self, family: Family, key: int) -> int:
        entry, consumed = int(self._direct[family][key >> (64 - fmt.DIRECT_BITS)]), fmt.DIRECT_BITS
        while not entry & fmt.ROW:
            children, leaves, first_child, first_row = self._nodes[entry].item()
            slot = (key << consumed & _MASK_64) >> (64 - fmt.STRIDE_BITS)
            if children >> slot & 1:
                entry = first_child + (children & ((1 << slot) - 1)).bit_count()
            else:
                entry = first_row + (leaves & ((2 << slot) - 1)).bit_count() - 1 | fmt.ROW
            consumed += fmt.STRIDE_BITS
        start = (entry ^ fmt.ROW) * int(self._shape["row_bytes"])
        return int.from_bytes(self._rows[start : start + fmt.CLASS_BYTES].tobytes(), "little")

    def _source_class(self, source128: int) -> int:
        found = 0
        for (high, low), number in zip(
            self._source_starts.tolist(), self._source_classes.tolist(), strict=True
        ):
            if high << 64 | low > source128:
                break
            found = int(number)
        return found

"""ISO 3166-2 codes for the subdivision names of a database that gives only names.

Names are compared with those of CLDR (English) and pycountry (local), in falling strictness; a name that
could be two subdivisions gets no code."""

import json
import re
import unicodedata
from collections import defaultdict
from pathlib import Path

import pycountry

# Words that say what kind of subdivision it is: dropped when the whole name finds nothing.
KIND_WORDS = frozenset(
    [
        "of",
        "the",
        "and",
        "oblast",
        "kray",
        "krai",
        "republic",
        "province",
        "state",
        "region",
        "governorate",
        "prefecture",
        "district",
        "county",
        "department",
        "municipality",
        "city",
        "free",
        "hanseatic",
        "federal",
        "autonomous",
        "territory",
        "area",
        "okrug",
        "respublika",
        "de",
        "la",
        "del",
        "do",
        "da",
        "al",
        "el",
        "ad",
        "capital",
        "voivodeship",
        "emirate",
        "parish",
        "canton",
        "division",
        "baladiyat",
        "grad",
        "hlavni",
        "mesto",
        "dc",
        "fd",
    ]
)
SHORTEST_PREFIX = 4

# Names of DB-IP that no list has, checked by hand.
BY_HAND = {
    ("AU", "ACT"): "AU-ACT",
    ("AR", "Buenos Aires F.D."): "AR-C",
    ("BA", "Federation of B&H"): "BA-BIH",
    ("CH", "Basel-City"): "CH-BS",
    ("CH", "Grisons"): "CH-GR",
    ("CH", "Saint Gall"): "CH-SG",
    ("CN", "Inner Mongolia"): "CN-NM",
    ("CO", "Bogota D.C."): "CO-DC",
    ("CZ", "Prague"): "CZ-10",
    ("DK", "Central Jutland"): "DK-82",
    ("DK", "North Denmark"): "DK-81",
    ("DK", "South Denmark"): "DK-83",
    ("ES", "Castille and Leon"): "ES-CL",
    ("ES", "Castille-La Mancha"): "ES-CM",
    ("FR", "New Aquitaine"): "FR-NAQ",
    ("FR", "Normandy"): "FR-NOR",
    ("FR", "Rhone-Alpes"): "FR-ARA",
    ("FR", "Provence"): "FR-PAC",
    ("FR", "Bourgogne"): "FR-BFC",
    ("IT", "The Marches"): "IT-57",
    ("RU", "St.-Petersburg"): "RU-SPE",
    ("RU", "Altay Kray"): "RU-ALT",
    ("RU", "Moscow Oblast"): "RU-MOS",
    ("RU", "Primorye"): "RU-PRI",
    ("VN", "Ho Chi Minh City (HCMC)"): "VN-SG",
}


class SubdivisionCodes:
    """Looks names up, by country. `cldr`: `en.json` of the npm package `cldr-subdivisions-full`."""

    def __init__(self, cldr: Path) -> None:
        valid = {subdivision.code for subdivision in pycountry.subdivisions}
        self._top_level = {
            subdivision.code for subdivision in pycountry.subdivisions if not subdivision.parent_code
        }
        self._by_words: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._by_key: dict[tuple[str, str], set[str]] = defaultdict(set)
        names = json.loads(cldr.read_text())["subdivisions"]["localeDisplayNames"]["subdivisions"]
        pairs = [(f"{code[:2]}-{code[2:]}".upper(), name) for code, name in names.items()]
        for subdivision in pycountry.subdivisions:
            pairs += [(subdivision.code, part) for part in re.split(r"[\[\];/,(]", subdivision.name)]
        for code, name in pairs:
            if code in valid and _words(name):
                self._by_words[code[:2], "".join(_words(name))].add(code)
                self._by_key[code[:2], _key(name)].add(code)

    def find(self, country: str, name: str) -> str:
        """The ISO 3166-2 code ('US-CA') of a subdivision name, '' if there is none or more than one."""
        if not _words(name):
            return ""
        if (country, name) in BY_HAND:
            return BY_HAND[country, name]
        key = _key(name)
        candidates = (
            self._by_words.get((country, "".join(_words(name))))
            or self._by_key.get((country, key))
            or {
                code
                for (of, other), codes in self._by_key.items()
                for code in codes
                if of == country
                and min(len(key), len(other)) >= SHORTEST_PREFIX
                and (other.startswith(key) or key.startswith(other))
            }
        )
        for codes in (candidates, candidates & self._top_level):
            if len(codes) == 1:
                return next(iter(codes))
        return ""


def _words(name: str) -> list[str]:
    """The words of a name in plain lower-case ASCII."""
    plain = name.translate(str.maketrans("łøđıðŁØĐ", "lodidLOD", "'’ʹ")).replace("ß", "ss").replace("æ", "ae")
    letters = unicodedata.normalize("NFKD", plain.lower())
    return re.findall(r"[a-z0-9]+", "".join(c for c in letters if not unicodedata.combining(c)))


def _key(name: str) -> str:
    """The words that tell one subdivision of a country from another, joined."""
    words = _words(name)
    return "".join(word for word in words if word not in KIND_WORDS) or "".join(words)

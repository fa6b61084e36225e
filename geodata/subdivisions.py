"""ISO 3166-2 codes for the subdivision names of a database that gives only names.

Names are compared with those of CLDR (English) and pycountry (local), in falling strictness; a name that
could be two subdivisions gets no code."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping

# Words that say what kind of subdivision it is: dropped when the whole name finds nothing.
KIND_WORDS = frozenset(
    """
    of the and de la del do da al el ad area autonomous baladiyat canton capital city county dc department
    district division emirate fd federal free governorate grad hanseatic hlavni krai kray mesto municipality
    oblast okrug parish prefecture province region republic respublika state territory voivodeship
    """.split()  # noqa: SIM905
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
    """Looks names up, by country."""

    def __init__(self, valid: Iterable[tuple[str, str, bool]], english: Mapping[str, str]) -> None:
        """`valid`: each ISO code ('US-CA'), its local name, and whether it is of its country's top level.
        `english`: ISO code to English name; codes that are not valid are left out."""
        entries = list(valid)
        self._top_level = {code for code, _, top_level in entries if top_level}
        self._by_words: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._by_key: dict[tuple[str, str], set[str]] = defaultdict(set)
        pairs = [(code, english[code]) for code, _, _ in entries if code in english]
        for code, name, _ in entries:
            pairs += [(code, part) for part in re.split(r"[\[\];/,(]", name)]
        for code, name in pairs:
            if _words(name):
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

"""Licenses as sets of terms: which of two is wider, and what both together ask for.

A license is the set of terms that it adds to "use, change and pass on as you like" (Creative
Commons' own elements BY, SA, NC, ND; keeping a notice, as MIT and Apache-2.0 ask; research only;
the use restrictions of OpenRAIL). Of two licenses the one whose terms are a subset of the other's
is the wider; some are neither. What comes of several works together has the union of their terms,
which is commutative, associative and idempotent, and never wider than any of them.

A named share-alike wants what is made of its works under itself, so together with a term that no
version of it has (CC-BY-SA with non-commercial) it lets nothing be passed on. The plain class
`share-alike` names no license: with `non-commercial` there may be one that has both
(CC-BY-NC-SA), and whoever gave the plain words is to know. This is a table of facts, no legal
advice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from factory.errors import ConfigError
from factory.provenance.lineage import UNKNOWN

Terms = frozenset[str]
BY, SA, NC, ND = "attribution", "share-alike", "non-commercial", "no-derivatives"
NOTICE = "notice"
"""Keep the notices of copyright and license; whoever wants attribution wants that too."""
RESEARCH, USES, PRIVATE, OTHER = "research-only", "use-restrictions", "private", "other"
FAMILY = "share-alike: "
"""Begins the term that names which license a share-alike wants; two of them cannot both be met."""
CLAIMS_NOTHING = (OTHER, UNKNOWN, PRIVATE)
"""Words of a release that grant nothing, so that they are never too wide."""
VERSIONS = ("2.0", "2.5", "3.0", "4.0")
"""Of Creative Commons' licenses; a share-alike may be followed by a later version of itself."""
AND = " AND "
"""Joins licenses that hold together, as in SPDX expressions."""


@dataclass(frozen=True)
class License:
    """A license, or one of the plain classes."""

    id: str
    """SPDX id, name on the hub, or plain class, as it is to be spelled."""
    terms: Terms
    url: str = ""


def _terms(*terms: str) -> Terms:
    return frozenset(terms) | {NOTICE} if BY in terms else frozenset(terms)


def _creative_commons() -> list[License]:
    """Every version and combination of elements."""
    parts = {"BY": BY, "SA": SA, "NC": NC, "ND": ND}
    found = []
    for elements in ("BY", "BY-SA", "BY-NC", "BY-NC-SA", "BY-ND", "BY-NC-ND"):
        terms = _terms(*(parts[part] for part in elements.split("-")))
        for number, version in enumerate(VERSIONS, start=1):
            url = f"https://creativecommons.org/licenses/{elements.lower()}/{version}/"
            since = (f"CC-{elements} {one} or later" for one in VERSIONS[:number])
            kind = {FAMILY + f"CC-{elements}", *since} if SA in terms else set[str]()
            found.append(License(f"CC-{elements}-{version}", terms | kind, url))
    return found


_RAIL = _terms(BY, USES)
_SPDX = "https://spdx.org/licenses/"
_PLAIN = {
    "permissive": _terms(NOTICE),
    "attribution": _terms(BY),
    "share-alike": _terms(BY, SA),
    "non-commercial": _terms(BY, NC),
    "research-only": _terms(BY, NC, RESEARCH),
    "private": _terms(BY, NC, RESEARCH, PRIVATE),
    UNKNOWN: _terms(UNKNOWN),
    OTHER: _terms(UNKNOWN),
}
_NAMED = [
    *(License(name, terms) for name, terms in _PLAIN.items()),
    License("CC0-1.0", _terms(), "https://creativecommons.org/publicdomain/zero/1.0/"),
    License("PDDL-1.0", _terms(), _SPDX + "PDDL-1.0"),
    License("Unlicense", _terms(), _SPDX + "Unlicense"),
    *(
        License(name, _terms(NOTICE), _SPDX + name)
        for name in ("MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "BSL-1.0")
    ),
    *(License(name, _terms(BY), _SPDX + name) for name in ("ODC-By-1.0", "CDLA-Permissive-2.0")),
    License("ODbL-1.0", _terms(BY, SA, FAMILY + "ODbL"), _SPDX + "ODbL-1.0"),
    *_creative_commons(),
    License("openrail", _RAIL, "https://huggingface.co/blog/open_rail"),
    License(
        "creativeml-openrail-m",
        _RAIL,
        "https://huggingface.co/spaces/CompVis/stable-diffusion-license",
    ),
    License(
        "openrail++",
        _RAIL,
        "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/blob/main/LICENSE.md",
    ),
]
LICENSES = {one.id.lower(): one for one in _NAMED}
"""By their ids in small letters, as the hub spells them."""
SHORT_NAMES = {"bsd": "bsd-3-clause", "cc0": "cc0-1.0", "apache": "apache-2.0"}
"""Other spellings of them."""


def find(text: str, key: str = "license") -> list[License]:
    """The licenses that a text names, in any case, joined by AND; raises ConfigError.

    `key` is the dotted key of a config that it stands at.
    """
    names = [name.strip().lower() for name in text.replace(" and ", AND).split(AND)]
    if any(SHORT_NAMES.get(name, name) not in LICENSES for name in names):
        known = ", ".join(one.id for one in _NAMED if one.id not in _PLAIN)
        raise ConfigError(
            f"{key}: got {text!r}; want one of {', '.join(_PLAIN)}, or one of {known}, or several "
            "joined by AND"
        )
    return [LICENSES[SHORT_NAMES.get(name, name)] for name in names]


@cache
def terms_of(text: str, key: str = "license") -> Terms:
    """The terms of all licenses that a text names; raises ConfigError as `find`."""
    return frozenset[str]().union(*(one.terms for one in find(text, key)))


def join(texts: Iterable[str]) -> str:
    """One expression for works under all of these licenses, without those that others contain."""
    named = {one.id: one for text in texts for one in find(text)}
    kept = [one for one in named.values() if not any(one.terms < o.terms for o in named.values())]
    return AND.join(sorted(one.id for one in kept)) or "permissive"


def families(terms: Terms) -> list[str]:
    """The licenses that share-alikes among the terms want."""
    return sorted(term.removeprefix(FAMILY) for term in terms if term.startswith(FAMILY))


def outside(terms: Terms, family: str) -> Terms:
    """The terms that a share-alike does not let what is made of its works have.

    That is all that no version of its license has; what is unknown may yet fit.
    """
    return terms - _within(FAMILY + family) - {UNKNOWN}


@cache
def _within(family: str) -> Terms:
    """Terms of all versions of a share-alike license, by the term that names it."""
    return frozenset[str]().union(*(one.terms for one in _NAMED if family in one.terms))


def is_private(terms: Terms) -> bool:
    """Whether nothing that is made of such works may be passed on."""
    return ND in terms or PRIVATE in terms or is_contradiction(terms)


def is_contradiction(terms: Terms) -> bool:
    """Whether a share-alike is among the terms together with one that it excludes."""
    return any(outside(terms, family) for family in families(terms))


def allows(terms: Terms, license: str, key: str = "license") -> bool:
    """Whether what has these terms may be released under a license.

    That is where the license has all of them. `other` and `unknown` alone grant nothing, so they
    may stand for whatever may be passed on at all, and `private` for everything.
    """
    asked = find(license, key)
    if all(one.id == PRIVATE for one in asked):
        return True
    if is_private(terms):
        return False
    if all(one.id in CLAIMS_NOTHING for one in asked):
        return True
    return UNKNOWN not in terms and terms <= terms_of(license)


def plain_class(terms: Terms) -> str:
    """The terms in the words of the plain classes."""
    if UNKNOWN in terms:
        return UNKNOWN
    if PRIVATE in terms or is_contradiction(terms):
        return PRIVATE
    words = [word for word in (ND, SA, NC, USES) if word in terms]
    if RESEARCH in terms:
        words = [RESEARCH if word == NC else word for word in words]
    return " and ".join(words) or (BY if BY in terms else "permissive")


def wanted(terms: Terms, like: Iterable[str] = ()) -> list[str]:
    """Licenses under which what has these terms may be released, those of `like` first."""
    if is_private(terms):
        return [PRIVATE]
    plain = [word for word in _PLAIN if word not in CLAIMS_NOTHING]
    some = [one.id for text in like for one in find(text) if one.id not in CLAIMS_NOTHING]
    fitting = [name for name in dict.fromkeys([*some, *plain]) if allows(terms, name)]
    return [*fitting[:3], OTHER, UNKNOWN]


def hub_id(license: str) -> str:
    """What the header of a dataset card takes: the hub's own name, `other` for what it lacks."""
    one, *further = find(license)
    on_hub = not further and one.id not in _PLAIN and one.id not in NOT_ON_HUB
    if on_hub:
        return HUB_NAMES.get(one.id, one.id.lower())
    return UNKNOWN if one.id == UNKNOWN and not further else OTHER


HUB_NAMES = {"ODC-By-1.0": "odc-by", "ODbL-1.0": "odbl", "PDDL-1.0": "pddl"}
NOT_ON_HUB = {
    "CC-BY-SA-2.0",
    "CC-BY-SA-2.5",
    "CC-BY-NC-2.5",
    "CC-BY-NC-SA-2.5",
    "CC-BY-ND-2.0",
    "CC-BY-ND-2.5",
    "CC-BY-ND-3.0",
    "CC-BY-NC-ND-2.0",
    "CC-BY-NC-ND-2.5",
}
"""SPDX ids that cards of the hub do not know."""


def is_spdx(name: str) -> bool:
    """Whether SPDX has a license of this id, in any case."""
    one = find(name)[0]
    return one.id not in _PLAIN and "rail" not in one.id

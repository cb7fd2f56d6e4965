# SPDX-License-Identifier: Apache-2.0
"""The published names nkisim lacks: importing one works, using it refuses by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

from nkisim.compat import older_name
from nkisim.errors import NotSimulated, UnknownName
from nkisim.nki import published

PAGE = "docs/simulator/coverage.md"
_LINE = re.compile(r"(?P<since>\d\.\d) (?P<name>\w+)\((?P<parameters>.*)\)")


class Published(NamedTuple):
    """A name of AWS's API reference.

    Attributes:
        parameters: as the reference prints them, or None for a name that is not a function.
        since: the first version known to have it.
        removed: whether later versions lack it.
    """

    module: str
    name: str
    parameters: str | None
    since: str
    removed: bool = False


class Refused:
    """Stands for a published name; calling or indexing it raises `NotSimulated`, as do its own names when used."""

    def __init__(self, published: Published) -> None:
        self.published = published
        self.__name__ = self.__qualname__ = published.name
        self.__doc__ = f"{published.module}.{published.name}: published by AWS, not simulated."

    def __repr__(self) -> str:
        return f"<{self.published.module}.{self.published.name}, not simulated>"

    def _refuse(self) -> NoReturn:
        own, state, fix = self.published, "published by AWS", f"See {PAGE}."
        if own.removed:
            state = f"which AWS removed after NKI {own.since}"
            fix = published.REMOVED[own.module][own.name.partition(".")[0]]
        raise NotSimulated(f"nkisim has what {PAGE} lists as implemented", f"{own.module}.{own.name}, {state}", fix)

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse()

    def __getitem__(self, key: Any) -> NoReturn:
        self._refuse()

    def __getattr__(self, name: str) -> Refused:
        if name.startswith("_"):
            raise AttributeError(name)
        return Refused(self.published._replace(name=f"{self.published.name}.{name}"))


def _functions(module: str, table: str) -> Iterator[Published]:
    for line in re.sub(r"\n +", " ", table.strip()).splitlines():
        found = _LINE.fullmatch(line)
        assert found, line
        yield Published(module, found["name"], found["parameters"], found["since"])


def _all() -> Iterator[Published]:
    for module in ("isa", "language", "collectives"):
        for version in ("", "_0_7"):
            yield from _functions(f"nki.{module}", getattr(published, f"{module.upper()}{version}"))
    yield from _functions("nki.language.NkiTensor", published.TENSOR)
    for module, versions in published.VALUES.items():
        for since, names in versions.items():
            yield from (Published(module, name, None, since) for name in names.split())
    for module, removed in published.REMOVED.items():
        yield from (Published(module, name, None, "0.1", removed=True) for name in removed)


PUBLISHED: dict[tuple[str, str], Published] = {(p.module, p.name): p for p in _all()}


def _unknown(module: str, name: str) -> UnknownName:
    alike = difflib.get_close_matches(name, (n for m, n in PUBLISHED if m == module), cutoff=0.7)
    fix = f"Perhaps {', '.join(alike)} is meant." if alike else f"{PAGE} lists the names."
    return UnknownName(f"{module} has the published names", f"{module}.{name}", fix)


def missing_names(module: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module of `nki`: older spellings, then names that refuse, then an AttributeError."""

    def get(name: str) -> Any:
        older = older_name(module, name)
        if older is not None:
            return older
        if (module, name) not in PUBLISHED:
            if name.startswith("_"):
                raise AttributeError(f"module {module!r} has no attribute {name!r}")
            raise _unknown(module, name)
        return Refused(PUBLISHED[module, name])

    return get

# SPDX-License-Identifier: Apache-2.0
"""L108, L109: names and keywords that a version of the SDK does not have yet."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from nkisim.lint.rules import Hit
from nkisim.nki import published
from nkisim.nki._names import PUBLISHED

_MODULES = ("nki.isa", "nki.language", "nki.collectives")


@dataclass(frozen=True)
class Version:
    """A release of the Neuron SDK.

    Attributes:
        sdk, nki: its number, and that of the NKI in it.
        parses: its front end parses a subset of Python; later ones trace, 2.32 with NKI_COMPILER_FRONTEND=tracer.
    """

    sdk: str
    nki: str
    parses: bool = False

    def has(self, since: str) -> bool:
        """Whether it has what came with that version of NKI."""
        return _numbers(since) <= _numbers(self.nki)


VERSIONS = {
    v.sdk: v
    for v in (
        Version("2.29", "0.3", parses=True),
        Version("2.30", "0.4", parses=True),
        Version("2.31", "0.5", parses=True),
        Version("2.32", "0.6"),
        Version("2.33", "0.7"),
    )
}


def missing(module: ast.Module, version: Version) -> Iterator[Hit]:
    """What a module uses of NKI that the version lacks."""
    known = _aliases(module)
    called = {id(node.func): node for node in ast.walk(module) if isinstance(node, ast.Call)}
    for node in ast.walk(module):
        found = _published(node, known)
        if found is not None:
            yield from _name(node, *found, version)
            if id(node) in called:
                yield from _keywords(called[id(node)], *found, version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _aliases(module: ast.Module) -> dict[str, tuple[str, str]]:
    """Names that stand for modules of NKI, as (module, ""), or for something in them."""
    found: dict[str, tuple[str, str]] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found |= {a.asname: (a.name, "") for a in node.names if a.asname and a.name in _MODULES}
        elif isinstance(node, ast.ImportFrom) and node.module == "nki":
            whole = {a.asname or a.name: (f"nki.{a.name}", "") for a in node.names}
            found |= {name: there for name, there in whole.items() if there[0] in _MODULES}
        elif isinstance(node, ast.ImportFrom) and node.module in _MODULES:
            found |= {a.asname or a.name: (str(node.module), a.name) for a in node.names}
    return found


def _published(node: ast.AST, known: dict[str, tuple[str, str]]) -> tuple[str, str] | None:
    """(module, name) of what a node names in NKI."""
    if isinstance(node, ast.Name) and known.get(node.id, ("", ""))[1]:
        return known[node.id]
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in known:
        module, name = known[node.value.id]
        return None if name else (module, node.attr)
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) in _MODULES:
        return ast.unparse(node.value), node.attr
    return None


def _name(node: ast.AST, module: str, name: str, version: Version) -> Iterator[Hit]:
    entry = PUBLISHED.get((module, name))
    if entry is not None and not version.has(entry.since):
        yield node, "L108", f"{module}.{name} came with NKI {entry.since}; SDK {version.sdk} has NKI {version.nki}"


def _keywords(call: ast.Call, module: str, name: str, version: Version) -> Iterator[Hit]:
    later = published.LATER_PARAMETERS.get(module, {}).get(name, {})
    for keyword in call.keywords:
        since = later.get(keyword.arg or "")
        if since is not None and not version.has(since):
            text = f"{module}.{name}({keyword.arg}=) came with NKI {since}; SDK {version.sdk} has NKI {version.nki}"
            yield call, "L109", text

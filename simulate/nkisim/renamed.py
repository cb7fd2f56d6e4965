# SPDX-License-Identifier: Apache-2.0
"""Names that AWS gave to something that stayed what it was: the only place that knows them.

A row is all that a new name needs beside the thing itself and its line in `nki/published.py`. The older name works
and warns (`compat.py`); errors, advice and lint, which may be written with either, speak of the newer one.
"""

from __future__ import annotations

import re

RENAMED: dict[str, dict[str, str]] = {"nki.language": {"bool": "bool_"}}
"""Newer names by module and older name."""

SHORT = {"nki": "nki", "nki.isa": "nisa", "nki.language": "nl", "nki.collectives": "ncc"}
"""What texts call the modules of `nki`."""

_MODULES = {short: module for module, short in SHORT.items()}
_NAME = re.compile(r"\b(nki\.isa|nki\.language|nki\.collectives|nki|nisa|nl|ncc)\.(\w+)\b")


def newer_name(module: str, name: str) -> str:
    """What AWS calls `name` of a module of `nki` today: the name itself, if it was not renamed."""
    return RENAMED.get(module, {}).get(name, name)


def in_newer_names(text: str) -> str:
    """A text that names things as `nisa.tensor_copy` or `nki.language.add`, with their names of today."""
    return _NAME.sub(lambda found: f"{found[1]}.{newer_name(_MODULES.get(found[1], found[1]), found[2])}", text)


def any_newer_name(name: str) -> str:
    """`newer_name` of a name whose module is not known, as in the source of a kernel."""
    return next((names[name] for names in RENAMED.values() if name in names), name)

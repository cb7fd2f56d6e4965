# SPDX-License-Identifier: Apache-2.0
"""`nl.NKIObject`: base of kernel configuration objects, as permissive as public kernels rely on it being."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any


class _Permissive(type):
    """Builds objects field by field, unless the class wrote its own `__init__`.

    Positional arguments follow the annotations, keywords may also name plain class attributes, defaults come from the
    class or the dataclass, and a field without any value stays unset until something reads it.
    """

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if not _is_generated(cls):
            return super().__call__(*args, **kwargs)
        self: Any = object.__new__(cls)  # type: ignore[arg-type]
        names = _field_names(cls)
        if len(args) > len(names):
            raise TypeError(f"{cls.__name__} takes {len(names)} values, got {len(args)}")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        unknown = [name for name in given if name not in names and not hasattr(cls, name)]
        if unknown and dataclasses.is_dataclass(cls):
            raise TypeError(f"{cls.__name__} has no field {', '.join(unknown)}; it has {', '.join(names)}")
        for name, value in {**_made_defaults(cls), **given}.items():
            object.__setattr__(self, name, value)
        finish = getattr(self, "__post_init__", None)
        if finish is not None:
            finish()
        return self


def _is_generated(cls: type) -> bool:
    """Whether `__init__` is ours or a dataclass's, not one that somebody wrote."""
    init = vars(next(base for base in cls.__mro__ if "__init__" in vars(base)))["__init__"]
    return (
        init is vars(NKIObject).get("__init__", object.__init__)
        or getattr(getattr(init, "__code__", None), "co_filename", "") == "<string>"
    )


def _field_names(cls: type) -> list[str]:
    names: dict[str, None] = {}
    for base in reversed(cls.__mro__):
        names.update(dict.fromkeys(inspect.get_annotations(base)))
    return list(names)


def _made_defaults(cls: type) -> dict[str, Any]:
    """Values of dataclass fields that are made anew for each object."""
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    return {f.name: f.default_factory() for f in fields if f.default_factory is not dataclasses.MISSING}


class NKIObject(metaclass=_Permissive):
    """Base of kernel configuration objects. Keyword arguments become attributes; class attributes are defaults."""

# SPDX-License-Identifier: Apache-2.0
"""`nki.compiler`: the options of a kernel for AWS's compiler. nkisim has no such compiler.

An option that would change nothing here is refused when the kernel is decorated, unless it asks for what nkisim does
anyway.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import Enum

from nkisim.errors import ArgumentError

_FIX = "Leave it unset under nkisim."


class AddressRotation(Enum):
    """Whether the compiler may move a tensor to another address."""

    AUTO = "auto"
    ENABLE = "enable"
    DISABLE = "disable"


@dataclass(frozen=True, kw_only=True)
class CompileConfig:
    """Options of the compiler. None leaves the compiler's default.

    Attributes:
        address_rotation: AUTO is accepted.
        barrier_check: accepted; nkisim always checks that the cores meet.
        nki_alloc_fallback: False is accepted; nkisim reports a tensor that does not fit and never retries.
        dead_code_elim, non_ssa_legalization, prefetch_auto: only False is accepted.
    """

    address_rotation: AddressRotation | None = None
    barrier_check: bool | None = None
    dead_code_elim: bool | None = None
    nki_alloc_fallback: bool | None = None
    non_ssa_legalization: bool | None = None
    prefetch_auto: bool | None = None


@dataclass(frozen=True, kw_only=True)
class SpecializationConfig:
    """Options of tracing.

    Attributes:
        allow_nested_config_override: whether kernels called inside this one may ask for other options. Only False is
            accepted: no option that nkisim accepts can disagree.
    """

    allow_nested_config_override: bool | None = None


_WITHOUT_EFFECT_BUT = {
    "address_rotation": (None, AddressRotation.AUTO),
    "barrier_check": (None, True, False),
}


def check(option: str, config: object) -> None:
    """Accept a config of `nki.jit`.

    Raises:
        ArgumentError: it is no such config, or asks for something nkisim would have to ignore.
    """
    wanted = {"compile_config": CompileConfig, "specialization_config": SpecializationConfig}[option]
    if not isinstance(config, wanted):
        raise ArgumentError(f"{option} is an nki.compiler.{wanted.__name__}", f"{config!r}", "Make one.")
    for field in fields(wanted):
        value = getattr(config, field.name)
        if value not in _WITHOUT_EFFECT_BUT.get(field.name, (None, False)):
            raise ArgumentError("options of AWS's compiler have no effect in nkisim", f"{field.name}={value!r}", _FIX)

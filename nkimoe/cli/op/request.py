# SPDX-License-Identifier: Apache-2.0
"""What one call of `nkimoe op` asks for: a class an operation, whose fields are its options."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, ClassVar

import click
import numpy as np

from nkimoe.cli.op.agreement import Agreement
from nkisim.command_help import OneOf


@dataclass(frozen=True)
class OpOption:
    """How an option is written.

    Attributes:
        flag: in our style: --tokens.
        type: of its value; a bool's flag is a pair, --packed/--no-packed.
        default: its value if it is not given.
        help: in a few words.
        key: of the peer's program, without its dash; None: it has none.
    """

    flag: str
    type: click.ParamType | None
    default: Any
    help: str
    key: str | None


def option(
    default: Any, help: str, *, key: str | None = None, type: click.ParamType | None = None, flag: str = ""
) -> Any:
    """A field of an `OpRequest`. Its flag is by default the field's name."""
    return field(default=default, metadata={"written": OpOption(flag, type, default, help, key)})


def _of_field(each: Field[Any]) -> OpOption:
    written: OpOption = each.metadata["written"]
    dashed = each.name.replace("_", "-")
    pair = f"--{dashed}/--no-{dashed}" if isinstance(each.default, bool) else f"--{dashed}"
    return replace(written, flag=written.flag or pair)


def count(default: int, help: str, key: str | None = None) -> Any:
    """A field that holds 1 or more."""
    return option(default, help, key=key, type=click.IntRange(1))


def choice(default: str, values: Sequence[str], help: str, key: str | None = None, flag: str = "") -> Any:
    """A field that holds one of some words."""
    return option(default, help, key=key, type=OneOf(list(values)), flag=flag)


def stride(help: str, key: str | None = None) -> Any:
    """A field of elements from row to row, -1 for rows without a gap."""
    return option(-1, f"{help}; -1: no gap.", key=key, type=click.INT)


@dataclass(frozen=True)
class OpRequest(ABC):
    """Options of one operation, and all that the command has to know of it.

    Attributes:
        name: in `nkimoe.ops`, and of the command.
        without_effect: keys of the peer's program that mean nothing here.
        computes_indices: its kernel writes where computed numbers say, which are therefore always computed.
        fixed: keys of which one value is known, and that value.
    """

    name: ClassVar[str]
    without_effect: ClassVar[tuple[str, ...]] = ("kname", "warmup", "repeat")
    computes_indices: ClassVar[bool] = False
    fixed: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def options(cls) -> dict[str, OpOption]:
        """By field."""
        return {each.name: _of_field(each) for each in fields(cls)}

    @abstractmethod
    def arguments(self, rng: np.random.Generator) -> dict[str, Any]:
        """Those of the call, tensors drawn.

        Raises:
            RequestError: options that contradict each other.
        """

    @abstractmethod
    def agreements(self, arguments: Mapping[str, Any], outputs: Any) -> list[Agreement]:
        """How close the outputs are to what the definition makes of the arguments."""

    @property
    @abstractmethod
    def useful_bytes(self) -> int:
        """Bytes that must move from and to HBM."""

    @property
    def useful_flops(self) -> float:
        """Multiplications and additions of matrices."""
        return 0.0

    @property
    def operands(self) -> str:
        """Of matmuls, as `machine_peaks` names them: their rate is the roofline's."""
        return "bf16"

    @property
    def peer_bytes(self) -> int:
        """Bytes as the peer's program counts them; the useful ones where it counts none."""
        return self.useful_bytes

    @abstractmethod
    def heading(self) -> str:
        """The start of the peer's line: types and sizes."""

    def timing(self, us: float, gb_per_sec: float) -> str:
        """Time and rate as the peer's line has them."""
        return f"{us:.2f} us, {gb_per_sec:.2f} GB/s"

    def timing_of_matrices(self, us: float, gb_per_sec: float) -> str:
        """Likewise, with the rate of operations between them."""
        return f"{us:.2f} us, {self.useful_flops / us / 1e6:.4g} TFLOPS, {gb_per_sec:.2f} GB/s"

    @abstractmethod
    def peer_json(self) -> dict[str, Any]:
        """The peer's keys between `name` and `verification`."""

# SPDX-License-Identifier: Apache-2.0
"""Axes of a sweep as people write them: values between commas, and ranges of numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from nkisim.command_help import meant

RANGE = re.compile(r"(?P<first>\d+)\.\.(?P<last>\d+)(?:(?P<sign>[*+])(?P<step>\d+))?")
MOST_VALUES = 1000  # of an axis


class AxisNumbers(click.ParamType):
    """Positive whole numbers: `640,4096`; `512..8192` doubles, `A..B*3` multiplies, `A..B+128` adds.

    Args:
        words: values that are no numbers, which stand for themselves.
    """

    name = "numbers"

    def __init__(self, *words: str) -> None:
        self.words = words

    def convert(
        self, value: str | tuple[int | str, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int | str, ...]:
        if isinstance(value, tuple):
            return value
        found: list[int | str] = []
        for part in value.split(","):
            part = part.strip()
            if part in self.words:
                found.append(part)
                continue
            numbers = _numbers(part)
            if numbers is None or not numbers or min(numbers) < 1:
                self.fail(
                    f"{part!r} is no number from 1 on and no range such as 512..8192, 1..4+1, 1..81*3", param, ctx
                )
            found += numbers
        if len(found) > MOST_VALUES:
            self.fail(f"{value!r} are more than {MOST_VALUES} values", param, ctx)
        return tuple(dict.fromkeys(found))


class AxisNames(click.ParamType):
    """Some of these names in any case, between commas; any if none are given.

    Args:
        names: those that can be.
        all_of: what the word `all` stands for.
    """

    name = "names"

    def __init__(self, names: tuple[str, ...] = (), all_of: tuple[str, ...] = ()) -> None:
        self.names, self.all_of = names, all_of

    def convert(
        self, value: str | tuple[str, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        if value == "all" and self.all_of:
            return self.all_of
        known = {name.casefold(): name for name in self.names}
        asked = [part.strip() for part in value.split(",")]
        for part in asked:
            if not part or (known and part.casefold() not in known):
                near = meant(part.casefold(), known)
                self.fail(f"{part!r} is none of {', '.join(self.names) or 'them'}.{near}", param, ctx)
        return tuple(dict.fromkeys(known.get(part.casefold(), part) for part in asked))


def _numbers(text: str) -> list[int] | None:
    """Of one part; None: it says no numbers."""
    if text.isdecimal():
        return [int(text)]
    found = RANGE.fullmatch(text)
    if found is None:
        return None
    sign, step = found["sign"] or "*", int(found["step"] or 2)
    if step < (2 if sign == "*" else 1) or int(found["first"]) < 1:
        return None
    return list(_range(int(found["first"]), int(found["last"]), sign, step))


def _range(first: int, last: int, sign: str, step: int) -> Iterator[int]:
    value = first
    for _ in range(MOST_VALUES + 1):
        if value > last:
            return
        yield value
        value = value * step if sign == "*" else value + step

# SPDX-License-Identifier: Apache-2.0
"""Errors of nkimoe's own doors. A message gives the rule, the actual value, and what to do."""

from __future__ import annotations


class RequestError(ValueError):
    """A request that cannot be honoured: shapes, dtypes, target, or a combination of options.

    Args:
        argument: the argument of `moe_cte` at fault.
        rule: what must hold.
        actual: what was found.
        fix: what would work.
    """

    def __init__(self, argument: str, rule: str, actual: object, fix: str) -> None:
        shown = " ".join(str(actual).split())  # arrays have several lines
        self.argument, self.rule, self.actual, self.fix = argument, rule, shown, fix
        super().__init__(f"{argument}: {rule}; got {shown}. {fix}")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.argument, self.rule, self.actual, self.fix)


class InputError(RequestError):
    """Values in the inputs that no routing can mean: ids out of range, NaN affinities, ..."""


def require(holds: bool, argument: str, rule: str, actual: object, fix: str) -> None:
    """Raise RequestError unless a rule holds."""
    if not holds:
        raise RequestError(argument, rule, actual, fix)

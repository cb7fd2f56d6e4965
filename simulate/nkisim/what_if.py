# SPDX-License-Identifier: Apache-2.0
"""Changes of a machine, as a command line gives them: "hbm=1.2,pe_clock=1.1"."""

from __future__ import annotations

import click

from nkisim.command_help import meant
from nkisim.machine import Machine
from nkisim.machine.scaling import scalable
from nkisim.report.summary import Profile


def parse_factors(text: str, machine: Machine) -> dict[str, float]:
    """Factors by name, checked against the machine.

    Raises:
        click.UsageError: the text is no list of NAME=FACTOR, or the machine has no such constant.
    """
    factors: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        try:
            factors[name] = float(value)
        except ValueError:
            raise click.UsageError(f"--what-if {part}: give NAME=FACTOR, as hbm=1.2") from None
    try:
        machine.scaled(factors)
    except ValueError as error:
        known = scalable(machine.quantities)
        hints = (meant(name, known) for name in factors if name not in known)
        raise click.UsageError(f"--what-if {error}.{''.join(hints)}") from None
    return factors


def predict_changes(profile: Profile, factors: dict[str, float]) -> dict[str, float]:
    """Predicted microseconds with each change alone and, where there are several, with all of them."""
    changes = {f"{name} x {factor:g}": {name: factor} for name, factor in factors.items()}
    if len(factors) > 1:
        changes["all of these"] = factors
    return {name: profile.what_if(change).latency_us for name, change in changes.items()}

# SPDX-License-Identifier: Apache-2.0
"""A machine as the text of its file."""

from __future__ import annotations

import json
from itertools import groupby

from nkisim.machine.loader import Machine
from nkisim.machine.quantity import Quantity


def machine_text(machine: Machine, heading: str) -> str:
    """TOML that `read_machine` reads back as `machine`.

    Args:
        heading: a comment at the top; lines.
    """
    lines = [f"# {line}" for line in heading.splitlines()]
    lines += [f"name = {json.dumps(machine.name)}", f"generation = {machine.generation}"]
    for section, keys in groupby(machine.quantities, lambda key: key.partition(".")[0]):
        lines += ["", f"[{section}]"]
        lines += [f"{key.partition('.')[2]} = {_entry(machine.quantities[key])}" for key in keys]
    return "\n".join(lines) + "\n"


def _entry(quantity: Quantity) -> str:
    numbers = {"value": quantity.value, "low": quantity.low, "high": quantity.high}
    words = {"unit": quantity.unit, "source": quantity.source, "confidence": quantity.confidence}
    parts = [f"{key} = {_number(number)}" for key, number in numbers.items() if number is not None]
    parts += [f"{key} = {json.dumps(word, ensure_ascii=False)}" for key, word in words.items()]
    return "{ " + ", ".join(parts) + " }"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))

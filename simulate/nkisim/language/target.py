# SPDX-License-Identifier: Apache-2.0
"""Questions a kernel may ask about its target."""

from __future__ import annotations

from nkisim.execution.neuron_core import current_core, is_running
from nkisim.machine import load_machine, target_from_environment
from nkisim.operations.enums import nc_version


def get_nc_version() -> nc_version:
    """Generation of the target; outside a kernel, of the environment's target."""
    machine = current_core().machine if is_running() else load_machine(target_from_environment())
    return nc_version(machine.generation)


def get_nc_sub_version() -> int:
    """Silicon revision of the target: 0, the first."""
    return 0

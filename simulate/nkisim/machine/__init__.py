# SPDX-License-Identifier: Apache-2.0
"""Facts of each NeuronCore generation, read from the TOML files beside this module, or from one like them."""

from nkisim.machine.loader import (
    DEFAULT_TARGET,
    TARGET_VARIABLE,
    TARGETS,
    Machine,
    load_machine,
    machine_in_use,
    read_machine,
    target_from_environment,
)
from nkisim.machine.peaks import Peaks, UsefulWork, machine_peaks
from nkisim.machine.writer import machine_text

__all__ = [
    "DEFAULT_TARGET",
    "TARGETS",
    "TARGET_VARIABLE",
    "Machine",
    "Peaks",
    "UsefulWork",
    "load_machine",
    "machine_in_use",
    "machine_peaks",
    "machine_text",
    "read_machine",
    "target_from_environment",
]

"""Facts of each NeuronCore generation, read from the TOML files beside this module."""

from nkisim.machine.loader import TARGETS, Machine, load_machine, target_from_environment
from nkisim.machine.peaks import Peaks, UsefulWork, machine_peaks

__all__ = ["TARGETS", "Machine", "Peaks", "UsefulWork", "load_machine", "machine_peaks", "target_from_environment"]

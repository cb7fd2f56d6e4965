"""Facts of each NeuronCore generation, read from the TOML files beside this module."""

from nkisim.machine.loader import Machine, load_machine, target_from_environment

__all__ = ["Machine", "load_machine", "target_from_environment"]

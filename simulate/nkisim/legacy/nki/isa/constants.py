# SPDX-License-Identifier: Apache-2.0
"""The names of `neuronxcc.nki.isa.constants`."""

from nkisim.nki.isa import nc_version
from nkisim.operations.enums import dge_mode, engine, oob_mode, reduce_cmd

__all__ = ["dge_mode", "engine", "nc_version", "oob_mode", "reduce_cmd"]

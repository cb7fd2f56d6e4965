# SPDX-License-Identifier: Apache-2.0
"""`nl.tile_size`: size limits of the target."""

from __future__ import annotations

import os
from typing import NoReturn

from nkisim.errors import NotSimulated
from nkisim.execution.neuron_core import current_core, is_running
from nkisim.machine import Machine, load_machine, target_from_environment


class TileSize:
    """Limits, in elements unless the name says bytes. psum_fmax and total_available_sbuf_size are AWS's old names."""

    pmax = 128
    psum_bank_fmax = 512
    psum_fmax = 512
    psum_bank_fmax_bytes = 2048
    gemm_stationary_fmax = 128
    gemm_moving_fmax = 512
    bn_stats_fmax = 512

    @property
    def _machine(self) -> Machine:
        return current_core().machine if is_running() else load_machine(target_from_environment())

    @property
    def psum_num_banks(self) -> int:
        """One less where the compiler keeps a bank for the DMA transposes it gives to the Tensor Engine."""
        kept = os.environ.get("NKI_DMA_TRANSPOSE_AS_PE_TRANSPOSE", "").lower() == "true"
        return self._machine.psum_banks - kept

    @property
    def sbuf_size_bytes(self) -> int:
        return self._machine["sbuf.partition_bytes"] * self._machine.partitions

    @property
    def sbuf_fmax_bytes(self) -> int:
        return self._machine.sbuf_usable_bytes

    @property
    def sbuf_fmax(self) -> int:
        return self.sbuf_fmax_bytes // 4

    total_available_sbuf_size = sbuf_fmax_bytes

    @property
    def psum_min_align(self) -> int:
        return self._not_printed("psum_min_align")

    @property
    def sbuf_min_align(self) -> int:
        return self._not_printed("sbuf_min_align")

    def _not_printed(self, name: str) -> NoReturn:
        raise NotSimulated(
            "the documents print the value", f"tile_size.{name}, which they do not", "Align to 32 bytes."
        )


tile_size = TileSize()

# SPDX-License-Identifier: Apache-2.0
"""Running totals: instructions by engine and opcode, HBM traffic, matmul work."""

from __future__ import annotations

from collections import Counter

from nkisim.observe.event import Event, Finding, Observer


class Counters(Observer):
    """Totals over all cores.

    Attributes:
        instructions: by engine.
        opcodes: by instruction name.
        hbm_read, hbm_written: bytes, as the DMA access patterns move them (a broadcast read counts each time).
        macs: multiply-accumulates on the PE.
    """

    def __init__(self) -> None:
        self.instructions: Counter[str] = Counter()
        self.opcodes: Counter[str] = Counter()
        self.hbm_read = self.hbm_written = self.macs = 0

    def on_instruction(self, event: Event) -> list[Finding]:
        self.instructions[event.engine] += 1
        self.opcodes[event.opcode] += 1
        self.macs += event.work.macs
        if event.engine in ("dma", "sync"):
            self.hbm_read += sum(r.nbytes for r in event.reads if r.storage.buffer.is_hbm)
            self.hbm_written += sum(r.nbytes for r in event.writes if r.storage.buffer.is_hbm)
        return []

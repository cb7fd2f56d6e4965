# SPDX-License-Identifier: Apache-2.0
"""Chips: what ranks share of them. Documented under about-neuron/arch/neuron-hardware, trainium2 and trainium3."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1 << 30


@dataclass(frozen=True)
class Chip:
    """One chip.

    Attributes:
        hbm_bytes: of it.
        link_gbps: of NeuronLink to other chips, 1e9 bytes a second.
        cores: physical ones.
    """

    hbm_bytes: int
    link_gbps: float
    cores: int = 8

    def ranks(self, lnc: int) -> int:
        """Ranks of `lnc` physical cores each."""
        return self.cores // lnc

    def rank_bytes(self, lnc: int) -> int:
        """HBM of a rank."""
        return self.hbm_bytes // self.ranks(lnc)

    def rank_gbps(self, lnc: int) -> float:
        """A rank's share of the links."""
        return self.link_gbps / self.ranks(lnc)


CHIPS: dict[str, Chip] = {"trn2": Chip(96 * GIB, 1280.0), "trn3": Chip(144 * GIB, 2560.0)}

"""Probes: small kernels, of which each says what constants of the machine files are. One table."""

from __future__ import annotations

from on_device.probes import (
    casts,
    gathers,
    gpsimd,
    identities,
    order,
    pe_clock,
    scalar,
    sync,
    tensor,
    transfer_latencies,
    transfer_rates,
    vector,
)
from on_device.probes.probe import ChoiceProbe, Probe, ProfileProbe

LATENCY_PROBES: dict[str, Probe] = {
    probe.name: probe
    for file in (vector, casts, tensor, scalar, gpsimd, transfer_rates, transfer_latencies, gathers, sync)
    for probe in file.PROBES
}
PROFILE_PROBES: dict[str, ProfileProbe] = {probe.name: probe for probe in pe_clock.PROBES}
CHOICE_PROBES: dict[str, ChoiceProbe] = {probe.name: probe for probe in (*order.PROBES, *identities.PROBES)}

NOT_MEASURED = {
    "sbuf.reserved_bytes": "a limit, which a compiler enforces",
    "access.psum_elements": "a limit, which a compiler enforces",
    "dve_cycles.exponential": "Trn2 has no such instruction; a probe of trn3",
    "dve_cycles.quantize_mx": "Trn2 has no such instruction; documented for Trn3",
    "dve_cycles.rand2": "Trn2 has no such instruction; documented for Trn3",
    "act_time.least": "no rule of the clock uses it",
    "pe_time.idle_rows": "the profile of matmuls over few rows would say it; no kernel here has such",
    "dma.queued": "counts descriptors; nothing waits for so many as the nominal value has",
    "dma.moved_ahead": "counts transfers, and only in program order; the order probes say what a compiler does",
    "order.look_ahead": "counts instructions; the order probes say what a compiler does",
    "order.unexplained": "says how well predictions hold, not what a device does",
}
"""Constants that documents leave open and no probe settles, and why."""

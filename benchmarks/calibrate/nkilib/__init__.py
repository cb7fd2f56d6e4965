"""The latencies nki-library's own tests state beside configurations of its kernels, and those kernels, unmodified.

Nothing of that library is in this repository: its checkout has the kernels, builds the arguments and holds the numbers
(`tpbSgCyclesSum`, `qor`, `cyclesQoR`, taken as picoseconds).
"""

from __future__ import annotations

from pathlib import Path

from calibrate.cases import Work


def works(checkout: Path) -> list[Work]:
    """Every configuration of the checkout that states a latency and is simulated here."""
    from conformance.imports import prepare

    prepare(checkout)
    from calibrate.nkilib import attention, mlp, qkv, rmsnorm

    return [*attention.works(), *qkv.works(), *rmsnorm.works(), *mlp.works()]

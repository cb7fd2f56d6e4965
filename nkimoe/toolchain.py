# SPDX-License-Identifier: Apache-2.0
"""What `import nki` means in this process: AWS's toolchain or the simulator. Decided once, never mixed.

1. NKIMOE_TOOLCHAIN=neuron or =simulate wins.
2. An `nki` that is already imported is used.
3. A genuine one is found without importing it: its folder holds `isa`. If it is broken it raises; no fallback.
4. The empty placeholder of that name on the package index is named in a warning and ignored.
5. Otherwise the simulator is installed.

Kernels here are Python that is traced. AWS's toolchain traces since NKI 0.7, and NKI 0.6 if it is told to.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import re
import sys
import warnings
from pathlib import Path

NEURON, SIMULATE = "neuron", "simulate"
FRONT_END, TRACER = "NKI_COMPILER_FRONTEND", "tracer"


def bind() -> str:
    """Make `import nki` work and return "neuron" or "simulate".

    Raises:
        ValueError: NKIMOE_TOOLCHAIN names neither.
        ImportError: AWS's toolchain was asked for, or found, and cannot be imported, or does not trace kernels.
    """
    choice = _choice()
    if choice == SIMULATE:
        import nkisim

        nkisim.install()
    else:
        importlib.import_module("nki.isa")
        _check_traces(str(getattr(sys.modules["nki"], "__version__", "")), os.environ.get(FRONT_END))
    return choice


def _check_traces(version: str, front_end: str | None) -> None:
    """Raises ImportError for a toolchain whose front end parses kernels; one without a version passes."""
    release = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if not release:
        return
    if release < (0, 6):
        raise ImportError(
            f"nkimoe needs NKI 0.6 or newer (Neuron SDK 2.32), which traces kernels, but this is NKI {version}: "
            "upgrade the SDK, or set NKIMOE_TOOLCHAIN=simulate"
        )
    if (front_end or (TRACER if release > (0, 6) else None)) != TRACER:
        raise ImportError(
            f"NKI {version} would parse the kernels of nkimoe, which are to be traced: "
            f"set {FRONT_END}={TRACER} before anything imports nki"
        )


def _choice() -> str:
    asked = os.environ.get("NKIMOE_TOOLCHAIN")
    if asked is not None:
        if asked not in (NEURON, SIMULATE):
            raise ValueError(f"NKIMOE_TOOLCHAIN is '{NEURON}' or '{SIMULATE}', got {asked!r}; fix or unset it")
        return asked
    loaded = sys.modules.get("nki")
    if loaded is not None:
        return SIMULATE if loaded.__name__.startswith("nkisim.") else NEURON
    return _installed()


def _installed() -> str:
    spec = importlib.machinery.PathFinder.find_spec("nki")
    if spec is None:
        return SIMULATE
    folders = [Path(folder) for folder in spec.submodule_search_locations or []]
    if any((folder / "isa").is_dir() or list(folder.glob("isa.*")) for folder in folders):
        return NEURON
    warnings.warn(
        f"the installed package 'nki' ({spec.origin or folders}) is a placeholder, not AWS's toolchain; "
        "nkimoe simulates. Install the toolchain from AWS's Neuron repository, or uninstall the placeholder.",
        RuntimeWarning,
        stacklevel=4,
    )
    return SIMULATE

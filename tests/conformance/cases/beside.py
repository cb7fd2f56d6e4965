"""An operation of ours beside a peer's torch reference, and both beside fp64."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from conformance.kernel_run import TestManager, WrongNumbers
from nkimoe.ops.launch import OnCores
from nkisim import Simulator

Floats = NDArray[np.float64]
TRN2, TRN3 = "trn2", "trn3"


def simulated(operation: OnCores, target: str = TRN2) -> OnCores:
    """On two cores of a machine."""
    return operation.launched_by(partial(_run, target))


def _run(target: str, kernel: Any, *arguments: Any) -> Any:
    return Simulator(target, 2).run(kernel, *arguments).outputs


def fp64(tensor: Any) -> Floats:
    """Its values."""
    values: Floats = tensor.double().numpy() if isinstance(tensor, torch.Tensor) else np.asarray(tensor, np.float64)
    return values


def judge(manager: TestManager, ours: Any, theirs: Any, right: Floats, tolerance: float) -> None:
    """Note how far they are apart, and from what is right, in relative L2.

    Raises:
        WrongNumbers: further apart than the peer's tolerance for its kernel, absolute and relative, and not both
            within it of what is right.
    """
    ours, theirs = (fp64(tensor).reshape(right.shape) for tensor in (ours, theirs))
    manager.differences |= {
        "ours and theirs": _apart(ours, theirs), "ours and fp64": _apart(ours, right),
        "theirs and fp64": _apart(theirs, right),
    }  # fmt: skip
    both = {"ours": ours, "theirs": theirs}
    within = [who for who, found in both.items() if _close(found, right, tolerance)]
    if len(within) < len(both) and not _close(ours, theirs, tolerance):
        wrong = ", ".join(f"{who} {_apart(found, right):.1e}" for who, found in both.items())
        raise WrongNumbers(f"within the tolerance of fp64: {within[0] if within else 'neither'}; {wrong}")


def judge_equal(what: str, ours: Any, theirs: Any, right: Any) -> None:
    """Of integers, likewise. Raises WrongNumbers."""
    ours, theirs, right = (np.asarray(each) for each in (ours, theirs, right))
    if not np.array_equal(ours, theirs):
        wrong = (f"{who} wrong in {np.count_nonzero(a != right)}" for who, a in (("ours", ours), ("theirs", theirs)))
        raise WrongNumbers(f"{what} of {right.size}: " + ", ".join(wrong))


def _close(found: Floats, wanted: Floats, tolerance: float) -> bool:
    return np.allclose(found, wanted, rtol=tolerance, atol=tolerance)


def _apart(found: Floats, wanted: Floats) -> float:
    with np.errstate(invalid="ignore"):
        return float(np.linalg.norm(found - wanted) / (np.linalg.norm(wanted) or 1.0))


@dataclass
class Case:
    """A case with a name of its own: its values, without those that are off."""

    def __str__(self) -> str:
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        words = (name if value is True else str(value) for name, value in values if value not in (None, False))
        return "-".join(words).replace("torch.", "")

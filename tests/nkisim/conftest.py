"""Devices to run small kernels on, and the check of a refusal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import pytest
from support.device import Device, refusal

OF_THE_SIMULATOR = (
    "NEURON_PLATFORM_TARGET_OVERRIDE",
    "NEURON_LOGICAL_NC_CONFIG",
    "NKISIM_FINDINGS",
    "NKISIM_REFUSE",
    "NKISIM_ALLOW",
    "NKI_PRECISE_FP",
)


@pytest.fixture(autouse=True)
def _default_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the developer's shell changes what a test sees."""
    for name in OF_THE_SIMULATOR:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def trn2() -> Device:
    return Device("trn2")


@pytest.fixture
def trn3() -> Device:
    return Device("trn3")


@pytest.fixture
def refuses(request: pytest.FixtureRequest) -> Callable[..., AbstractContextManager[None]]:
    """`with refuses(ErrorClass, code, *parts of the actual value):`"""
    return partial(refusal, request.path.name)

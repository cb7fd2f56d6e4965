"""Guards that run once a form of their tensors."""

import pytest
from support.device import Device, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, PsumBankError, TargetError
from nkisim.operations.remembered import remembered


def asked_for(*groups):
    """How often guards really run for calls with these arguments; inside a kernel."""
    seen = []

    @remembered
    def guard(*args):
        seen.append(args)
        return len(args)

    for group in groups:
        assert guard(*group) == len(group)
    return len(seen)


def test_the_same_form_is_looked_at_once_and_another_one_again(trn2):
    def body():
        a, b = tile((4, 8)), tile((4, 8))
        assert asked_for((a, 1), (b, 1), (a[:, :], 1)) == 1
        others = (a[:, 0:4], a[:, 4:8], tile((4, 8), "bfloat16"), tile((4, 8), buffer=nl.psum), tile((4, 16))[:, 0:8])
        assert asked_for((a, 1), *((other, 1) for other in others), (a, 2)) == 7
        placed = [nl.ndarray((4, 8), "float32", buffer=nl.psum, address=(0, byte)) for byte in (0, 32, 0)]
        assert asked_for(*((t,) for t in placed)) == 2
        assert asked_for(([1],), ([1],)) == 2, "what has no hash is looked at every time"

    trn2.attempt(body)


def multiply(dtype="bfloat16", byte=0):
    left, right = tile((16, 16), dtype), tile((16, 16), dtype)
    dst = nl.ndarray((16, 16), "float32", buffer=nl.psum, address=(0, byte))
    nisa.nc_matmul(dst, left, right)


def test_what_passed_on_one_target_or_address_passes_nowhere_else():
    Device("trn3").attempt(lambda: multiply("float8_e4m3fn"))
    with pytest.raises(TargetError):
        Device("trn2").attempt(lambda: multiply("float8_e4m3fn"))
    Device("trn2").attempt(lambda: multiply(byte=1024))
    with pytest.raises(PsumBankError):
        Device("trn2").attempt(lambda: multiply(byte=2048 - 32))


def test_a_refusal_is_repeated(trn2):
    for _ in range(2):
        with pytest.raises(ArgumentError, match="stationary is an NKI tensor"):
            trn2.attempt(lambda: nisa.nc_matmul(tile((16, 16), buffer=nl.psum), [1], tile((16, 16))))

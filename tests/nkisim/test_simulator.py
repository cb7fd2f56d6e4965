"""The richer door: Simulator(...).run(kernel, ...)."""

import numpy as np
import pytest
from support.device import random_values, store

import nkisim
import nkisim.nki as nki
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import LaunchError, UninitializedRead
from nkisim.observe import Recorder


def double(x, times=2.0):
    """x * times."""
    t = nl.load(x)
    nisa.tensor_scalar(t, t, nl.multiply, times)
    return store(t)


def careless(x):
    """Returns x, and reads a tile that nothing wrote."""
    t = nl.ndarray((4, 4), nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(t, t)
    return x


def test_a_run_has_outputs_a_profile_and_no_findings():
    data = random_values((5, 7))
    run = nkisim.Simulator(target="trn2").run(double, data, times=3.0)
    np.testing.assert_array_equal(run.outputs, data * 3)
    assert run.profile.opcodes == {"dma_copy": 2, "tensor_scalar": 1}
    assert run.profile.sbuf_peak_bytes == 28
    assert run.findings == []
    assert run.wall_s > 0


def test_a_function_and_a_decorated_kernel_are_the_same():
    data = random_values((5, 7))
    simulator = nkisim.Simulator("trn2")
    for kernel in (double, nki.jit(double)):
        np.testing.assert_array_equal(simulator.run(kernel, data).outputs, data * 2)


def test_the_first_problem_is_raised_or_all_are_reported():
    data = random_values((2, 2))
    with pytest.raises(UninitializedRead, match="NKI401"):
        nkisim.Simulator("trn2").run(careless, data)
    run = nkisim.Simulator("trn2", report_only=True).run(careless, data)
    assert [finding.code for finding in run.findings] == ["NKI401"]
    np.testing.assert_array_equal(run.outputs, data)


@pytest.mark.parametrize(("lnc", "grid", "environment", "cores"), [
    (None, None, None, 1), (1, None, None, 1), (2, None, None, 2), (None, 2, None, 2), (2, 2, None, 2),
    (None, None, "2", 2), (None, 2, "2", 2), (2, None, "1", 2),
])  # fmt: skip
def test_the_cores_come_from_lnc_or_the_grid_or_the_environment(monkeypatch, lnc, grid, environment, cores):
    if environment:
        monkeypatch.setenv("NEURON_LOGICAL_NC_CONFIG", environment)
    kernel = nki.jit(nl.num_programs)
    assert nkisim.Simulator("trn2", lnc).run(kernel if grid is None else kernel[grid]).outputs == cores


def test_refuses_lnc_that_contradicts_the_grid(refuses):
    with refuses(LaunchError, "NKI303", "lnc=1 for kernel[2]"):
        nkisim.Simulator("trn2", lnc=1).run(nki.jit(nl.num_programs)[2])
    with refuses(LaunchError, "NKI303", "(3,)"):
        nkisim.Simulator("trn2", lnc=3).run(nl.num_programs)


def test_the_target_is_named_or_comes_from_the_environment(monkeypatch):
    assert nkisim.Simulator().machine.name == "trn3"
    monkeypatch.setenv("NEURON_PLATFORM_TARGET_OVERRIDE", "trn2")
    assert nkisim.Simulator().machine.name == "trn2"
    assert nkisim.Simulator("gen4").machine.name == "trn3"
    with pytest.raises(ValueError, match="unknown target 'trn1'"):
        nkisim.Simulator("trn1")


def test_more_observers_may_watch():
    recorder = Recorder()
    nkisim.Simulator("trn2", observers=[recorder]).run(double, random_values((2, 2)))
    assert [event.opcode for event in recorder.events] == ["dma_copy", "tensor_scalar", "dma_copy"]


def test_one_simulator_runs_many_kernels_and_remembers_nothing():
    simulator = nkisim.Simulator("trn2", report_only=True)
    runs = [simulator.run(careless, random_values((2, 2))) for _ in range(2)]
    assert [len(run.findings) for run in runs] == [1, 1]
    assert simulator.run(double, random_values((2, 2))).profile.opcodes == {"dma_copy": 2, "tensor_scalar": 1}


def test_every_problem_is_an_nki_validation_error():
    assert nkisim.NkiValidationError is nisa.NkiValidationError
    assert issubclass(nkisim.SimulationError, nkisim.NkiValidationError)
    assert issubclass(nkisim.NotSimulated, NotImplementedError)

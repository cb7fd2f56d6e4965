"""moe_cte without numerics: the same events, from floating point arguments that take no memory."""

from dataclasses import replace

import numpy as np
import pytest
from support.case import Case
from support.events import told
from support.inputs import build_inputs

from nkimoe import moe_cte
from nkisim import Simulator
from nkisim.observe import Recorder

CASES = [
    Case(),
    Case(cores=1, skip_token=False, T=130, B=256),
    replace(Case(), E=3, H=384, I=96, biases="none", accumulating=False, K=1),
]


def without_memory(argument):
    """The same shape, one zero repeated; integers and options as they are."""
    if not isinstance(argument, np.ndarray) or argument.dtype.kind in "iu":
        return argument
    return np.broadcast_to(np.zeros((), argument.dtype), argument.shape)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_events_do_not_depend_on_numerics(case):
    inputs = build_inputs(case)
    outlines = {name: without_memory(value) for name, value in inputs.items()}
    recorded = []
    for numerics, arguments in ((True, inputs), (False, inputs), (False, outlines)):
        recorder = Recorder()
        simulator = Simulator(case.target, case.cores, observers=[recorder], numerics=numerics)
        simulator.run(moe_cte, **arguments, **case.options())
        recorded.append(told(recorder.events))
    assert len(recorded[0]) > 100
    assert recorded[1] == recorded[0]
    assert recorded[2] == recorded[0]

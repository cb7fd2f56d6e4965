"""What is not a tensor goes through a graph as text and comes out as it was."""

import pytest

pytest.importorskip("torch")

from nkimoe.pytorch import Gate, Options
from nkimoe.pytorch.call import Call


@pytest.mark.parametrize(
    "gate",
    [Gate(), Gate("Swish", 7.0, None, 0.1, -float("inf"), 1.0), Gate("ReLU", gate_lower=0.0, has_gate=False)],
)
@pytest.mark.parametrize("accumulate", [True, False])
@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("rows", [None, 1024, 1 << 30])
@pytest.mark.parametrize(("choices", "top_k", "ep_degree"), [(None, 1, 1), (8, 1, 1), (None, 8, 16)])
def test_a_call_survives_as_text(gate, accumulate, keeps, rows, choices, top_k, ep_degree):
    options = Options(variant="shard_on_i", target="trn3", cores=1, block_size=256)
    call = Call(options, gate, accumulate, keeps, rows, choices, top_k, ep_degree)
    assert Call.from_text(call.to_text()) == call


def test_limits_keep_their_last_bit():
    gate = Gate(gate_upper=0.1 + 0.2)
    assert Call.from_text(Call(Options(), gate, True).to_text()).gate == gate

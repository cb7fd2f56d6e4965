"""Tutorials: of nki-samples, whose older half is written for the first NKI, and of the SDK's documents."""

from conformance.family import Family, PeerBug

_BROKEN = PeerBug(
    r"test_exponential\[layout-(loop|dynamic-loop)",
    "layout-dynamic-loop.py lacks a bracket; layout-loop.py takes nki_jit from torch_neuronx; its i_f is nowhere",
)

SAMPLES = (
    Family("nki-samples", ("cases/tutorials.py",), source="samples"),
    Family(
        "sdk-examples",
        ("cases/tutorials.py", "cases/sdk_examples.py"),
        source="sdk",
        leave_out="spmd|test_attention|test_mx|test_contributed",  # nki-samples alone has those
        bugs=(_BROKEN,),
    ),
)

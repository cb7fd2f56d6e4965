"""Functions of a file that imports what is not here, and the driver on a checkout of such files."""

from pathlib import Path
from textwrap import dedent

import pytest

pytest.importorskip("torch")

from conformance.families import FAMILIES
from conformance.reference_functions import MissingReference, ReferenceFile
from conformance.run import Settings, run_family

FOLDER = "op_tests/triton_tests/moe"
MODULE = """
    import pytest
    import torch
    import triton
    from dataclasses import dataclass, fields
    from somewhere.kernels import kernel, Routing

    SCALE = 2

    def helper(x, device="cuda"):
        return torch.ones(x, device=device) * SCALE * kernel_scale

    @kernel.tuned
    def reference(x: Routing, count=triton.cdiv(4, 2)) -> Routing:
        return [helper(x) for _ in range(count)]

    def compiled(x):
        return kernel(x)

    @dataclass
    class Sizes:
        m: int
        n: int

    @pytest.mark.parametrize(", ".join(f.name for f in fields(Sizes)), [(s.m, s.n) for s in [Sizes(1, 2), Sizes(3, 4)]])
    @pytest.mark.parametrize("dtype", [torch.float16])
    def test_it(m, n, dtype):
        pass

    @pytest.mark.parametrize("size", kernel.sizes)
    def test_other(size):
        pass
"""


class Triton:
    @staticmethod
    def cdiv(a, b):
        return -(-a // b)


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "module.py").write_text(dedent(MODULE), "utf-8")
    return tmp_path


def test_a_function_runs_with_what_it_needs_of_its_file_and_what_is_given(checkout):
    (reference,) = ReferenceFile(checkout, "module.py", triton=Triton, kernel_scale=5).functions("reference")
    first, second = reference(3)
    assert first.tolist() == second.tolist() == [10.0, 10.0, 10.0]
    assert first.device.type == "cpu"


def test_cases_are_those_of_every_axis_of_a_test(checkout):
    cases = ReferenceFile(checkout, "module.py").cases("test_it")
    assert [(case["m"], case["n"], str(case["dtype"])) for case in cases] == [
        (1, 2, "torch.float16"),
        (3, 4, "torch.float16"),
    ]


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda root: ReferenceFile(root, "other.py"), "has no other.py: is it a checkout"),
        (
            lambda root: ReferenceFile(root, "module.py").functions("gone"),
            "module.py: gone: nothing here stands for gone",
        ),
        (lambda root: ReferenceFile(root, "module.py").functions("reference"), "nothing here stands for triton"),
        (
            lambda root: ReferenceFile(root, "module.py").functions("compiled"),
            "compiled: nothing here stands for kernel",
        ),
        (lambda root: ReferenceFile(root, "module.py").cases("test_gone"), "module.py has no test_gone"),
        (lambda root: ReferenceFile(root, "module.py").cases("test_other"), "nothing here stands for kernel"),
        (lambda root: ReferenceFile(root, "module.py", kernel=1).cases("test_other"), "cases that cannot be read"),
    ],
)
def test_what_the_checkout_lacks_is_named(checkout, use, message):
    with pytest.raises(MissingReference, match=message):
        use(checkout)


ALIGN = """
    import pytest, torch, triton
    from aiter.ops import kernel

    def torch_moe_align_block_size(ids, E, B):
        pairs, experts = [], []
        for e in range(E):
            own = (ids.flatten() == e).nonzero().flatten().tolist()
            blocks = triton.cdiv(len(own), B)
            pairs += own + [ids.numel()] * (blocks * B - len(own))
            experts += [e] * blocks
        return torch.tensor(pairs), torch.tensor(experts), torch.tensor([len(pairs)])

    @pytest.mark.parametrize("M, E, top_k, block_size", [(5, 4, 2, 3), (1, 2, 1, 16)])
    def test_correctness(M, E, top_k, block_size):
        assert kernel
"""
TOP_1 = """
    import pytest, torch
    from aiter.ops import kernel

    def torch_routing_sigmoid_top1(x, w, topk, fused_shared_experts, dummy_ids, dummy_weights):
        scores = torch.sigmoid((x @ w).float())
        weights, ids = scores.max(dim=1, keepdim=True)
        return torch.cat([ids.int(), dummy_ids], dim=1), torch.cat([weights, dummy_weights], dim=1)

    @pytest.mark.parametrize("M", [64])
    @pytest.mark.parametrize("N", [16])
    @pytest.mark.parametrize("K", [4, 128])
    @pytest.mark.parametrize("dtype", [torch.bfloat16])
    def test_routing_sigmoid_top1(M, N, K, dtype):
        assert kernel
"""


def driven(checkout: Path):
    (family,) = (family for family in FAMILIES if family.name == "aiter-routing")
    settings = Settings({"aiter": checkout}, cases=9, parallel=1, seconds=60, memory_gib=8.0, only="")
    return list(run_family(family, settings))


def test_the_driver_runs_operations_beside_references_and_excuses_known_mistakes(tmp_path):
    (tmp_path / FOLDER).mkdir(parents=True)
    for name, text in (("test_moe_align_block_size", ALIGN), ("test_moe_routing_sigmoid_top1_fused", TOP_1)):
        (tmp_path / FOLDER / f"{name}.py").write_text(dedent(text), "utf-8")
    first, *results = driven(tmp_path)
    assert first == {"cases": 4, "chosen": 4}
    found = {result["name"].split("::")[1]: result["status"] for result in results}
    assert found == {
        "test_align[5-4-2-3]": "pass", "test_align[1-2-1-16]": "pass",
        "test_sigmoid_top_1[64-16-4-bfloat16]": "pass", "test_sigmoid_top_1[64-16-128-bfloat16]": "peer bug",
    }  # fmt: skip


def test_a_folder_that_is_no_checkout_is_said(tmp_path):
    failure, *_ = driven(tmp_path)
    assert failure["status"] == "error"
    assert "is it a checkout of the repository?" in failure["message"]

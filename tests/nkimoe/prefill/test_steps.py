"""Steps of a prefill: together they are the model's flops; time and memory grow as they must."""

from dataclasses import replace

import numpy as np
import pytest

from nkimoe.errors import RequestError
from nkimoe.models import RankLayout
from nkimoe.prefill.arithmetic import arithmetic
from nkimoe.prefill.estimate import Estimate, extended, total
from nkimoe.prefill.layout import ALL_TO_ALL, PrefillLayout
from nkimoe.prefill.links import Collective, Exchange, meeting
from nkimoe.prefill.memory import check_memory, memory_of
from nkimoe.prefill.published import TRANSFORMERS
from nkimoe.prefill.steps import ATTENTION, EXPERTS, HEAD, Compute, Prefill, causal_pairs

QWEN = TRANSFORMERS["qwen3-30b-a3b"]
ONE = PrefillLayout(RankLayout(), "trn2")


def flops(prefill: Prefill, *, without: tuple[str, ...] = ()) -> float:
    steps = [(step.calls, step.of) for step in prefill.steps() if isinstance(step.of, Compute)]
    return sum(calls * of.work.flops for calls, of in steps if of.kind not in without)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_steps_do_two_flops_a_token_and_parameter_that_it_meets(name: str) -> None:
    model, T = TRANSFORMERS[name], 1024
    ends = model.vocabulary * model.moe.H * (1 if model.tied else 2)
    idle = model.moe_layers * 3 * model.moe.H * model.moe.I * (model.moe.E - model.moe.K)
    met = model.parameters - ends - idle
    assert flops(Prefill(model, ONE, T), without=(ATTENTION, HEAD)) == pytest.approx(2 * T * met, rel=1e-6)


@pytest.mark.parametrize(("tokens", "window"), [(1, 1), (7, 7), (9, 4), (64, 1), (50, 49)])
def test_a_causal_window_counts_the_pairs_that_a_mask_shows(tokens: int, window: int) -> None:
    i, j = np.indices((tokens, tokens))
    assert causal_pairs(tokens, window) == int(((j <= i) & (j > i - window)).sum())


@pytest.mark.parametrize(("tp", "ep", "groups"), [(4, 1, 1), (4, 8, 1), (4, 8, 8), (1, 16, 4)])
def test_ranks_share_the_flops(tp: int, ep: int, groups: int) -> None:
    layout = PrefillLayout(RankLayout(tp, ep), "trn2", groups=groups)
    alone, shared = (Prefill(QWEN, each, 4096, prompts=8) for each in (ONE, layout))
    own = flops(shared, without=("norm, router", HEAD, "norm, q, k, v"))
    assert own * tp * ep == pytest.approx(flops(alone, without=("norm, router", HEAD, "norm, q, k, v")), rel=0.01)


def test_heads_that_ranks_cannot_share_are_refused_with_the_groups_that_can() -> None:
    layout = PrefillLayout(RankLayout(4, 16), "trn2")
    with pytest.raises(RequestError, match="--groups 2"):
        Prefill(QWEN, layout, 4096)
    assert Prefill(QWEN, replace(layout, groups=2), 4096, prompts=2).layout.attention_tp == 32
    with pytest.raises(RequestError, match="prompts"):
        Prefill(QWEN, replace(layout, groups=2), 4096, prompts=1)


def test_memory_of_a_rank_is_its_share_of_the_parameters() -> None:
    memory = memory_of(QWEN, ONE, 0, "bf16")
    assert memory.experts + memory.others == pytest.approx(2 * QWEN.parameters, rel=1e-6)
    assert not memory.fits
    spread = memory_of(QWEN, PrefillLayout(RankLayout(4, 4), "trn2"), 0, "bf16")
    assert spread.experts == memory.experts // 16
    assert memory_of(QWEN, ONE, 0, "mxfp4").experts == memory.experts * (0.5 + 1 / 32) / 2


def test_ranks_that_cannot_hold_their_part_of_a_model_are_refused_with_what_they_need() -> None:
    model = TRANSFORMERS["qwen3-235b-a22b"]
    check_memory(model, PrefillLayout(RankLayout(2, 16), "trn2"), 4096, "bf16")
    with pytest.raises(RequestError, match=r"memory: of a rank, 24 GiB, .*; got \d+ GiB, 53 of them experts"):
        check_memory(model, PrefillLayout(RankLayout(2, 4), "trn2"), 4096, "bf16")


def test_the_cache_of_a_latent_attention_does_not_shrink_with_ranks() -> None:
    model = TRANSFORMERS["deepseek-v3"]
    one, many = (memory_of(model, PrefillLayout(RankLayout(tp, 8), "trn3"), 1000, "bf16").cache for tp in (1, 8))
    assert one == many == model.layers * 1000 * (512 + 64) * 2


def test_an_exchange_takes_time_for_its_bytes_and_none_alone() -> None:
    one, two = (Exchange(Collective.ALL_REDUCE, ranks, 1e6).estimate(ONE) for ranks in (1, 2))
    assert one == Estimate(0, 0, 0)
    assert two.low_us < two.us < two.high_us
    ring = Exchange(Collective.ALL_REDUCE, 4, 1e6), Exchange(Collective.REDUCE_SCATTER, 4, 1e6)
    sums, half = (each.estimate(ONE).us - 17.5 for each in ring)
    assert sums == pytest.approx(2 * half)
    starts = [meeting(PrefillLayout(RankLayout(ranks), "trn2")).us for ranks in (1, 4, 32)]
    assert starts == [0, 1000, 2500]


def test_all_to_all_sends_less_than_all_gather_where_tokens_go_to_few_groups() -> None:
    sparse = TRANSFORMERS["llama-4-scout"]  # one expert a token
    layout = PrefillLayout(RankLayout(1, 8), "trn2", groups=8)
    few, all_of_them = (
        total(step.of.estimate(layout) for step in Prefill(sparse, each, 8192, prompts=8).steps()
              if isinstance(step.of, Exchange))
        for each in (replace(layout, exchange=ALL_TO_ALL), layout)
    )  # fmt: skip
    assert few.us < all_of_them.us


@pytest.mark.parametrize("degree", [1, 2])
def test_estimates_extend_along_the_polynomial_through_them(degree: int) -> None:
    sizes = [512, 1024, 2048][: degree + 1]
    known = [Estimate(3.0 + size**degree, 2.0 + size**degree, 9.0 + 2 * size**degree) for size in sizes]
    assert extended(sizes, known, 8192) == Estimate(
        pytest.approx(3.0 + 8192.0**degree), pytest.approx(2.0 + 8192.0**degree), pytest.approx(9 + 2 * 8192.0**degree)
    )


def test_more_rows_never_take_less_than_the_most_that_were_simulated() -> None:
    bent = [Estimate(us, us, us) for us in (10.0, 14.0, 15.0)]
    assert extended([16, 32, 64], bent, 256) == bent[-1]


def test_arithmetic_is_never_faster_than_the_roofline_and_says_so_by_its_least() -> None:
    for step in Prefill(QWEN, ONE, 640).steps():
        if isinstance(step.of, Compute) and step.of.kind != EXPERTS:
            found = arithmetic(step.of, ONE)
            assert found.low_us < found.us < found.high_us

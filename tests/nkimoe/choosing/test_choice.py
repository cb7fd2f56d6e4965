"""What auto chooses is legal, grows with the tokens, is quick, and yields to what is fixed or tuned."""

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nkimoe.choosing import Fixed
from nkimoe.choosing.choice import choices
from nkimoe.choosing.tuned import COLUMNS, read_tuned_layers
from nkimoe.cli.auto import alternatives, chosen
from nkimoe.cli.experiment import Setup
from nkimoe.cli.planning import plan_only
from nkimoe.errors import RequestError
from nkimoe.models import MODELS, Model
from nkimoe.routing.rule import RoutingRule
from nkimoe.spec import BlockShardStrategy, MoECTEImplementation

MOST_S = 0.05
SHRINKS = 0.95  # blocks that fill better may take this much less time for twice as many tokens


def setup(tokens: int = 640, model: str = "qwen3-30b-a3b", tp: int = 4, **others) -> Setup:
    return Setup(model, tp, tokens, "shard_on_block", "trn2", 2, 128, "bf16", "a text", **others)


sizes = st.builds(
    Model,
    H=st.integers(1, 48).map(lambda n: 128 * n),
    I=st.integers(1, 64).map(lambda n: 32 * n),
    E=st.sampled_from([1, 2, 8, 60, 128]),
    routing=st.sampled_from([RoutingRule(1), RoutingRule(2), RoutingRule(8)]),
    source=st.just("drawn"),
    biases=st.booleans(),
).filter(lambda model: model.K <= model.E)
formats = st.sampled_from(
    [("trn2", "bf16"), ("trn2", "fp8-row"), ("trn2", "int8"), ("trn3", "bf16"), ("trn3", "mxfp4")]
)


@given(sizes, st.integers(1, 20_000), formats, st.sampled_from([1, 2]))
@settings(max_examples=40, deadline=None)
def test_the_choice_can_be_planned(model, tokens, target_and_weights, lnc):
    target, weights = target_and_weights
    asked = replace(setup(tokens, tp=1, sizes=model), target=target, weights=weights, lnc=lnc)
    found = alternatives(asked, Fixed())
    if any(each.estimate is not None for each in found):
        plan_only(chosen(asked, Fixed()))
    for each in found:
        assert (each.estimate is None) == isinstance(each.refusal, RequestError)
        assert each.estimate is None or each.estimate.us > 0


@given(st.sampled_from(sorted(MODELS)), st.integers(1, 6000), st.sampled_from([4, 8]))
@settings(max_examples=15, deadline=None)
def test_twice_as_many_tokens_are_not_estimated_to_take_less_time(model, tokens, tp):
    few, many = (alternatives(setup(T, model, tp), Fixed())[0].estimate for T in (tokens, 2 * tokens))
    assert many.us >= SHRINKS * few.us


@pytest.mark.parametrize(("model", "tokens"), [("qwen3-30b-a3b", 8192), ("llama-4-scout", 640)])
def test_the_choice_takes_less_than_50_ms(model, tokens):
    asked = setup(tokens, model)
    chosen(asked, Fixed())  # the first one reads files
    seconds = []
    for _ in range(5):
        started = time.process_time()
        chosen(asked, Fixed())
        seconds.append(time.process_time() - started)
    assert min(seconds) < MOST_S


def test_what_is_fixed_stays():
    fixed = Fixed(MoECTEImplementation.shard_on_block, 96, BlockShardStrategy.PING_PONG)
    found = alternatives(setup(), fixed)
    assert [str(each.choice) for each in found] == ["shard_on_block PING_PONG, blocks of 96"]
    result = chosen(setup(), Fixed(block_size=256))
    assert result.block_size == 256


def test_no_tokens_are_dropped_unless_asked_for():
    assert "shard_on_i_dropping" not in {each.variant for each in choices(Fixed(), False, 1000, 8)}
    asked = Fixed(MoECTEImplementation.shard_on_i_dropping)
    assert [str(each) for each in choices(asked, False, 1000, 8)] == ["shard_on_i_dropping, blocks of 160"]


def test_mx_weights_have_alternatives_on_trn3_alone():
    asked = replace(setup(model="gpt-oss-20b"), weights="mxfp4")
    assert all(each.refusal is not None for each in alternatives(asked, Fixed()))
    on_trn3 = alternatives(replace(asked, target="trn3"), Fixed())
    assert on_trn3[0].estimate is not None
    assert on_trn3[0].choice.variant.endswith(("_mx", "_mx_hybrid"))


@pytest.fixture
def table(tmp_path):
    """A table with rows of Qwen3-30B TP 4 in PING_PONG and in halves of I, of 640 tokens."""
    values = dict(hidden=2048, intermediate=768, experts=128, top_k=8, tokens=640, tp=4, ep=1, lnc=2, weights="bf16")
    values |= dict(target="trn2", slots="pairs")
    rows = [
        values | dict(variant="shard_on_i", block_size=512, strategy="", latency_us=200.0),
        values | dict(variant="shard_on_block", block_size=96, strategy="PING_PONG", latency_us=100.0),
        values | dict(variant="shard_on_block", block_size=64, strategy="PING_PONG", latency_us=""),  # impossible
    ]
    path = tmp_path / "rows.csv"
    lines = [",".join(COLUMNS), *(",".join(str(row[name]) for name in COLUMNS) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_tuned_row_overrides_the_model_of_cost(table):
    tuned = read_tuned_layers(table)
    result = chosen(setup(), Fixed(), tuned)
    assert (result.variant, result.block_size, result.strategy.name) == ("shard_on_block", 96, "PING_PONG")
    on_i = chosen(setup(), Fixed(MoECTEImplementation.shard_on_i), tuned)
    assert (on_i.variant, on_i.block_size) == ("shard_on_i", 512)


@pytest.mark.parametrize("asked", [setup(300), setup(641), setup(tp=8), setup(model="olmoe-1b-7b"), setup(ep=2)])
def test_rows_of_other_layers_and_tokens_are_not_used(table, asked):
    assert chosen(asked, Fixed(), read_tuned_layers(table)) == chosen(asked, Fixed())


def test_a_row_of_somewhat_more_tokens_is_used(table):
    assert chosen(setup(400), Fixed(), read_tuned_layers(table)).block_size == 96


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("latency_us", "latency", "has the columns .*; got no latency_us"),
        ("shard_on_i,", "shard_on_j,", "line 2, variant: is one of shard_on_block"),
        (",512", ",many", "line 2, block_size: is a positive integer; got 'many'"),
        ("PING_PONG", "PONG", "line 3, strategy: is one of HI_LO, PING_PONG"),
    ],
)
def test_a_table_with_a_value_that_cannot_be_is_refused_by_its_line(table, old, new, message):
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(RequestError, match=message):
        read_tuned_layers(table)

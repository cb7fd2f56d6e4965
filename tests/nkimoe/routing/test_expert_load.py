"""How evenly experts and ranks are loaded, and what a rank calls its own."""

import numpy as np
import pytest

from nkimoe.errors import RequestError
from nkimoe.routing.expert_load import ExpertLoad, ids_on_rank
from nkimoe.routing.made_up import UNIFORM, ZipfRouting

IDS = np.array([[0, 5], [4, 5], [5, 2]])


def test_each_pair_counts_for_its_expert_and_its_rank() -> None:
    load = ExpertLoad.of(IDS, 6)
    assert load.pairs.tolist() == [1, 0, 1, 0, 1, 3]
    assert load.used == 4
    assert load.busiest_over_mean == 3
    ranks = load.of_ranks(3)
    assert (ranks.pairs.tolist(), ranks.busiest, ranks.busiest_over_mean) == ([1, 1, 4], 2, 2)


def test_the_ranks_together_have_every_pair_once() -> None:
    parts = [ids_on_rank(IDS, rank, own=2) for rank in range(3)]
    assert sum((part >= 0).astype(int) for part in parts).tolist() == np.ones_like(IDS).tolist()
    assert sum(np.where(part >= 0, part + 2 * rank, 0) for rank, part in enumerate(parts)).tolist() == IDS.tolist()


@pytest.mark.parametrize("exponent", [0.0, 0.7, 2.0])
def test_drawn_routings_name_an_expert_once_a_token_and_are_the_same_every_time(exponent: float) -> None:
    ids = ZipfRouting(exponent).expert_ids(200, experts=16, top_k=4)
    assert ids.dtype == np.int32
    assert all(len(set(row)) == 4 and min(row) >= 0 and max(row) < 16 for row in ids.tolist())
    assert np.array_equal(ids, ZipfRouting(exponent).expert_ids(200, experts=16, top_k=4))


def test_a_larger_exponent_is_more_skewed() -> None:
    skews = [ExpertLoad.of(ZipfRouting(s).expert_ids(2000, 32, 2), 32).busiest_over_mean for s in (0.0, 0.5, 1.0, 2.0)]
    assert skews == sorted(skews)
    assert skews[0] < 1.3 < 5 < skews[-1]


def test_the_share_of_single_choices_follows_zipfs_law() -> None:
    pairs = np.sort(ExpertLoad.of(ZipfRouting(1.0).expert_ids(60_000, 8, 1), 8).pairs)[::-1]
    law = 1 / np.arange(1, 9)
    assert pairs / pairs.sum() == pytest.approx(law / law.sum(), rel=0.05)


def test_uniform_is_a_law_without_preference() -> None:
    assert ZipfRouting(0.0) == UNIFORM
    assert (UNIFORM.name, ZipfRouting(1.25).name) == ("uniform", "zipf:1.25")


@pytest.mark.parametrize("exponent", [-0.1, 11, float("nan")])
def test_an_exponent_that_is_no_law_is_refused(exponent: float) -> None:
    with pytest.raises(RequestError, match="exponent"):
        ZipfRouting(exponent)

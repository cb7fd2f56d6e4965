"""Records of routing: the forms that files have, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from nkimoe.errors import InputError, RequestError
from nkimoe.routing.made_up import ZipfRouting
from nkimoe.routing.named import routing_named
from nkimoe.routing.recorded import RoutingRecord, read_routing

FIRST, SECOND = np.array([[0, 1], [2, 3], [1, 0]]), np.array([[3, 2], [1, 3], [0, 2]])


def test_an_array_of_one_layer_is_layer_0(tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", FIRST)
    routing = read_routing(tmp_path / "r.npy").of_layer(None)
    assert (routing.layer, routing.ids.tolist()) == (0, FIRST.tolist())


def test_an_array_of_tokens_layers_choices_is_taken_apart_and_layers_without_experts_are_left_out(
    tmp_path: Path,
) -> None:
    np.save(tmp_path / "r.npy", np.stack([np.zeros_like(FIRST), FIRST, SECOND], axis=1).astype(np.int16))
    record = read_routing(tmp_path / "r.npy")
    assert sorted(record.layers) == [1, 2]
    assert record.of_layer(None).ids.tolist() == FIRST.tolist()
    assert record.of_layer(2).ids.tolist() == SECOND.tolist()


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    RoutingRecord({3: FIRST, 11: SECOND}).save(tmp_path / "r.npz")
    record = read_routing(tmp_path / "r.npz")
    assert {layer: ids.tolist() for layer, ids in record.layers.items()} == {3: FIRST.tolist(), 11: SECOND.tolist()}


def test_lines_of_one_layer_are_further_tokens(tmp_path: Path) -> None:
    lines = [{"layer": 1, "experts": [[0, 1]]}, {"layer": 0, "experts": [[3, 2]]}, {"layer": 1, "experts": [[2, 3]]}]
    (tmp_path / "r.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    record = read_routing(tmp_path / "r.jsonl")
    assert record.of_layer(1).ids.tolist() == [[0, 1], [2, 3]]
    assert record.of_layer(None).ids.tolist() == [[3, 2]]


def test_more_tokens_than_recorded_begin_the_record_again() -> None:
    routing = RoutingRecord({0: FIRST}).of_layer(0)
    assert routing.expert_ids(5, experts=4, top_k=2).tolist() == [*FIRST.tolist(), *FIRST[:2].tolist()]
    assert routing.expert_ids(2, experts=4, top_k=2).tolist() == FIRST[:2].tolist()


def test_records_are_known_by_what_they_hold() -> None:
    one, same, other = (RoutingRecord({0: ids}).of_layer(0).name for ids in (FIRST, FIRST.copy(), SECOND))
    assert one == same != other


@pytest.mark.parametrize(("experts", "top_k"), [(3, 2), (4, 1)])
def test_a_record_of_another_layer_is_refused(experts: int, top_k: int) -> None:
    with pytest.raises(RequestError, match="routing: has"):
        RoutingRecord({0: FIRST}).of_layer(0).expert_ids(3, experts, top_k)


def test_a_layer_that_is_not_recorded_is_refused() -> None:
    with pytest.raises(RequestError, match="is recorded: 0"):
        RoutingRecord({0: FIRST}).of_layer(5)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("floats.npy", FIRST.astype(np.float32)),
        ("flat.npy", FIRST[0]),
        ("negative.npy", FIRST - 1),
        ("twice.npy", np.array([[1, 1]])),
        ("empty.npy", np.empty((0, 2), np.int32)),
        ("zeros.npy", np.zeros((2, 3, 2), np.int32)),
        ("damaged.npy", "no array"),
        ("damaged.jsonl", "no json\n"),
        ("keys.jsonl", '{"experts": [[1]]}\n'),
        ("ragged.jsonl", '{"layer": 0, "experts": [[1], [2, 3]]}\n'),
        ("empty.jsonl", ""),
        ("r.csv", "0,1\n"),
    ],
)
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, name: str, content: np.ndarray | str) -> None:
    path = tmp_path / name
    if isinstance(content, str):
        path.write_text(content)
    else:
        np.save(path, content)
    with pytest.raises(InputError):
        read_routing(path)


def test_an_array_whose_name_has_no_layer_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", router=FIRST)
    with pytest.raises(InputError, match="no number of a layer"):
        read_routing(tmp_path / "r.npz")


def test_routings_have_names() -> None:
    assert routing_named("zipf:0.5") == ZipfRouting(0.5)
    assert routing_named("uniform") == ZipfRouting(0.0)


@pytest.mark.parametrize("name", ["zipf:", "zipf:much", "zipf:-1", "skewed"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(RequestError):
        routing_named(name)


def test_a_drawn_routing_has_no_layers() -> None:
    with pytest.raises(RequestError, match="layer of a file"):
        routing_named("uniform", layer=3)

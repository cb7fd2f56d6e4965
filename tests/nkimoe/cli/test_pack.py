"""nkimoe pack: the same files as the function writes, and refusals in one line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from support.stored_checkpoints import bf16_experts, describe, store, with_routers

from nkimoe.cli.main import main
from nkimoe.weights import Checkpoint, Shard, int8_arguments, pack, packing_named, read_layer

E, H, I = 2, 64, 96


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    tensors = bf16_experts((0, 2), E, H, I)
    return describe(store(tmp_path / "checkpoint", with_routers(tensors, E, H)), E)


def nkimoe_pack(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["pack", *map(str, arguments)])


def test_a_rank_of_one_layer_is_packed(checkpoint: Path, tmp_path: Path) -> None:
    done = nkimoe_pack(checkpoint, tmp_path / "out", "--weights", "mxfp4", "--tp", 2, "--rank", 1, "--layer", 2)
    assert done.exit_code == 0, done.output
    assert "1 layer," in done.output
    (file,) = (tmp_path / "out").iterdir()
    expected = pack(Checkpoint(checkpoint).experts(2, Shard(2, 1)), packing_named("mxfp4"))
    for name, tensor in read_layer(file).items():
        np.testing.assert_array_equal(tensor.view(np.uint8), expected[name].view(np.uint8))


def test_int8_is_packed_with_what_its_activations_are(checkpoint: Path, tmp_path: Path) -> None:
    done = nkimoe_pack(checkpoint, tmp_path / "out", "--weights", "int8", "--layer", 0)
    assert done.exit_code == 0, done.output
    (file,) = (tmp_path / "out").iterdir()
    read, experts = read_layer(file), Checkpoint(checkpoint).experts(0)
    assert read["gate_up_proj_weight"].dtype == np.int8
    assert read["activation_quantization"] == "int8_per_token"
    expected = int8_arguments(experts, pack(experts, packing_named("int8")))
    assert read["quantization_config"].exact_rows == expected["quantization_config"].exact_rows > 1024


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weights", "mxfp4-blocks"], "expert: is an Mxfp4Expert"),
        (["--weights", "bf16", "--layer", "1"], "layer: is one with experts: 0, 2; got 1"),
        (["--weights", "bf16", "--tp", "2", "--rank", "2"], "rank: is 0..1; got 2"),
    ],
)
def test_what_cannot_be_packed_is_refused(checkpoint: Path, tmp_path: Path, options: list[str], message: str) -> None:
    refused = nkimoe_pack(checkpoint, tmp_path / "out", *options)
    assert refused.exit_code == 2
    assert message in refused.output
    assert not (tmp_path / "out").exists()


def test_a_folder_that_exists_is_refused_by_its_own_name(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    refused = nkimoe_pack(checkpoint, tmp_path / "out", "--weights", "bf16")
    assert refused.exit_code == 2
    assert f"OUT {tmp_path / 'out'}: exists already" in " ".join(refused.output.split())
    assert "target" not in refused.output


def test_a_run_of_what_was_packed_says_which_folder_it_takes(checkpoint: Path, tmp_path: Path) -> None:
    assert nkimoe_pack(checkpoint, tmp_path / "out", "--weights", "bf16").exit_code == 0
    refused = CliRunner().invoke(main, ["run", "--checkpoint", str(tmp_path / "out"), "--layer", "0"])
    assert refused.exit_code == 2
    assert "give the checkpoint that was packed" in " ".join(refused.output.split())


def test_all_ranks_are_packed_and_those_that_are_there_stay(checkpoint: Path, tmp_path: Path) -> None:
    out, options = tmp_path / "out", ("--weights", "fp8-row", "--tp", 2)
    assert nkimoe_pack(checkpoint, out / "rank-1", *options, "--rank", 1).exit_code == 0
    first = (out / "rank-1" / "layer-00000.safetensors").stat()
    done = nkimoe_pack(checkpoint, out, *options, "--rank", "all", "--jobs", 2)
    assert done.exit_code == 0, done.output
    assert (out / "rank-1" / "layer-00000.safetensors").stat() == first
    alone = tmp_path / "alone"
    assert nkimoe_pack(checkpoint, alone, *options, "--rank", 0).exit_code == 0
    for file in alone.iterdir():
        assert (out / "rank-0" / file.name).read_bytes() == file.read_bytes()
    again = nkimoe_pack(checkpoint, out, *options, "--rank", "all")
    assert again.exit_code == 2
    assert "exists already" in again.output


@pytest.mark.parametrize("options", [("--rank", "-1"), ("--rank", "every"), ("--engine", "dask"), ("--jobs", "0")])
def test_nonsense_is_refused_before_anything_is_written(
    checkpoint: Path, tmp_path: Path, options: tuple[str, str]
) -> None:
    refused = nkimoe_pack(checkpoint, tmp_path / "out", "--weights", "bf16", *options)
    assert refused.exit_code == 2
    assert "Error: " in refused.output
    assert not (tmp_path / "out").exists()


def test_a_cluster_packs_the_same_files(checkpoint: Path, tmp_path: Path, cluster: Any) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    assert nkimoe_pack(checkpoint, here, "--weights", "int8").exit_code == 0
    work = ("--engine", "dask", "--scheduler", cluster.scheduler_address)
    done = nkimoe_pack(checkpoint, there, "--weights", "int8", *work)
    assert done.exit_code == 0, done.output
    assert {f.name: f.read_bytes() for f in there.iterdir()} == {f.name: f.read_bytes() for f in here.iterdir()}

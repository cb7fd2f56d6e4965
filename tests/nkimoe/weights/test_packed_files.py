"""Packing checkpoints of files: the same as in memory, complete or not at all, in the memory of a few experts."""

import os
import subprocess
import sys
import textwrap
import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from support.stored_checkpoints import bf16_experts, describe, store, with_routers

from nkimoe import InputError, RequestError
from nkimoe.weights import (
    PACKING_NAMES,
    Checkpoint,
    KeepMxfp4Blocks,
    Plain,
    Shard,
    int8_arguments,
    pack,
    pack_checkpoint,
    packing_named,
    read_layer,
)
from nkimoe.weights.safetensors_file import read_header

E, H, I, LAYERS = 4, 64, 96, (1, 5)


def save(folder: Path, tensors: dict[str, np.ndarray], experts: int = E) -> Path:
    return describe(store(folder, with_routers(tensors, experts, H)), experts)


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    return save(tmp_path / "checkpoint", bf16_experts(LAYERS, E, H, I))


def same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert tensor.dtype == right[name].dtype
        np.testing.assert_array_equal(tensor.view(np.uint8), right[name].view(np.uint8))


@pytest.mark.parametrize("name", PACKING_NAMES)
@pytest.mark.parametrize("target", ["trn2", "trn3"])
def test_files_hold_what_packing_in_memory_gives(checkpoint, tmp_path, name, target):
    packing, share = packing_named(name, target), Shard(2, 1)
    files = pack_checkpoint(checkpoint, tmp_path / "packed", packing, share)
    assert [file.name for file in files] == ["layer-00001.safetensors", "layer-00005.safetensors"]
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "packed"]
    for layer, file in zip(LAYERS, files, strict=True):
        experts, read = Checkpoint(checkpoint).experts(layer, share), read_layer(file)
        packed = pack(experts, packing)
        if name == "int8":
            expected = int8_arguments(experts, packed)
            assert read.pop("activation_quantization") == expected["activation_quantization"] == "int8_per_token"
            assert read.pop("quantization_config").exact_rows == expected["quantization_config"].exact_rows
        same(read, packed)


def test_gpt_oss_blocks_are_kept_through_files(tmp_path):
    rng, block = np.random.default_rng(0), "model.layers.0.mlp.experts"
    sizes = {"gate_up_proj": (2 * I, H), "down_proj": (H, I)}
    tensors = {}
    for name, (columns, K) in sizes.items():
        tensors[f"{block}.{name}_blocks"] = rng.integers(0, 256, (E, columns, K // 32, 16)).astype(np.uint8)
        tensors[f"{block}.{name}_scales"] = rng.integers(100, 140, (E, columns, K // 32)).astype(np.uint8)
        tensors[f"{block}.{name}_bias"] = rng.standard_normal((E, columns)).astype(ml_dtypes.bfloat16)
    folder = save(tmp_path / "checkpoint", tensors)
    (file,) = pack_checkpoint(folder, tmp_path / "packed", KeepMxfp4Blocks())
    again = read_layer(file)
    experts = Checkpoint(folder).experts(0)
    same(again, pack(experts, KeepMxfp4Blocks()))
    real = KeepMxfp4Blocks().unpack_expert({name: tensor[3] for name, tensor in again.items()}, H, I)
    np.testing.assert_array_equal(real.gate_up, experts[3].dequantize().gate_up)
    np.testing.assert_array_equal(real.down, experts[3].dequantize().down)


def test_progress_counts_experts_of_the_chosen_layers(checkpoint, tmp_path):
    seen = []
    pack_checkpoint(checkpoint, tmp_path / "all", Plain(), progress=lambda *step: seen.append(step))
    assert seen == [(done, 2 * E) for done in range(1, 2 * E + 1)]
    seen.clear()
    pack_checkpoint(checkpoint, tmp_path / "one", Plain(), layers=[5], progress=lambda *step: seen.append(step))
    assert seen == [(done, E) for done in range(1, E + 1)]
    assert os.listdir(tmp_path / "one") == ["layer-00005.safetensors"]


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_a_run_that_was_stopped_goes_on_behind_the_last_finished_layer(checkpoint, tmp_path, stop):
    def fail(done: int, total: int) -> None:
        if done == E + 2:
            raise stop

    with pytest.raises(stop):
        pack_checkpoint(checkpoint, tmp_path / "packed", Plain(), progress=fail)
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "packed.partial"]
    seen = []
    files = pack_checkpoint(checkpoint, tmp_path / "packed", Plain(), progress=lambda *step: seen.append(step))
    assert seen == [(done, 2 * E) for done in range(E + 1, 2 * E + 1)]
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "packed"]
    assert sorted(os.listdir(tmp_path / "packed")) == [file.name for file in files]
    for layer, file in zip(LAYERS, files, strict=True):
        same(read_layer(file), pack(Checkpoint(checkpoint).experts(layer), Plain()))


@pytest.mark.parametrize("change", ["packing", "share", "checkpoint"])
def test_what_another_run_left_is_not_used(checkpoint, tmp_path, change):
    def fail(done: int, total: int) -> None:
        if done == E + 1:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        pack_checkpoint(checkpoint, tmp_path / "packed", Plain(), progress=fail)
    packing = packing_named("mxfp4") if change == "packing" else Plain()
    share = Shard(2, 1) if change == "share" else Shard()
    if change == "checkpoint":
        os.utime(checkpoint / "model.safetensors", ns=(1, 1))
    seen = []
    pack_checkpoint(checkpoint, tmp_path / "packed", packing, share, progress=lambda *step: seen.append(step))
    assert seen[0] == (1, 2 * E)


def test_a_run_that_is_killed_leaves_no_folder_of_that_name_and_the_next_one_works(checkpoint, tmp_path):
    script = """
        import os, signal, sys
        from nkimoe.weights import Plain, pack_checkpoint
        kill = lambda done, total: done == 6 and os.kill(os.getpid(), signal.SIGKILL)
        pack_checkpoint(sys.argv[1], sys.argv[2], Plain(), progress=kill)
    """
    arguments = [sys.executable, "-c", textwrap.dedent(script), checkpoint, tmp_path / "packed"]
    killed = subprocess.run(arguments, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False)
    assert killed.returncode == -9
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "packed.partial"]
    files = pack_checkpoint(checkpoint, tmp_path / "packed", Plain())
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "packed"]
    same(read_layer(files[1]), pack(Checkpoint(checkpoint).experts(5), Plain()))


def test_a_second_run_into_the_same_folder_is_refused_and_harms_nothing(checkpoint, tmp_path):
    def second(done, _):
        if done == 1:
            with pytest.raises(RequestError, match="one run at a time"):
                pack_checkpoint(checkpoint, tmp_path / "out", packing_named("mxfp8", "trn3"))

    packing = packing_named("fp8-row", "trn2")
    files = pack_checkpoint(checkpoint, tmp_path / "out", packing, progress=second)
    alone = pack_checkpoint(checkpoint, tmp_path / "alone", packing)
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in alone]


@pytest.mark.parametrize("record", ["", '{"source": [["x', "[]"])
def test_a_damaged_record_of_a_run_blocks_no_other(checkpoint, tmp_path, record):
    partial = tmp_path / "out.partial"
    partial.mkdir()
    (partial / "run.json").write_text(record)
    (partial / "layer-00000.safetensors").write_bytes(b"of that run")
    files = pack_checkpoint(checkpoint, tmp_path / "out", packing_named("fp8-row", "trn2"))
    assert all(file.stat().st_size > 100 for file in files)


def test_an_existing_target_is_refused(checkpoint, tmp_path):
    (tmp_path / "packed").mkdir()
    with pytest.raises(RequestError, match="target: does not exist yet; got"):
        pack_checkpoint(checkpoint, tmp_path / "packed", Plain())


def test_a_layer_without_experts_is_refused_before_anything_is_written(checkpoint, tmp_path):
    with pytest.raises(RequestError, match="layer: is one with experts: 1, 5; got 2"):
        pack_checkpoint(checkpoint, tmp_path / "packed", Plain(), layers=[1, 2])
    assert os.listdir(tmp_path) == ["checkpoint"]


def test_a_file_of_something_else_is_refused(checkpoint):
    with pytest.raises(InputError, match=r"model\.safetensors: is a packed layer; got no dtypes"):
        read_layer(checkpoint / "model.safetensors")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'{\\"gate_up', b'[\\"gate_up', "dtypes: is a JSON object.* pack the checkpoint again"),
        (b'\\"float8_e4m3', b'\\"floaO8_e4m3', "is one of float8_e4m3, .* got floaO8_e4m3"),
        (b'\\"float8_e4m3\\"', b"7", "is one of float8_e4m3, .* got 7"),
        (b'"gate_up_proj_scale', b'"gate_up_proj_scal[', "holds down_proj_weight, gate_up_proj_weight"),
        (b'"down_proj_weight":{', b'"down_proj_weighs":{', "holds down_proj_weight, gate_up_proj_weight"),
        (b"__metadata__", b"__metadate__", "is a packed layer|has dtype"),
    ],
    ids=["no object", "no type", "a number", "no argument", "no weight", "no metadata"],
)
def test_a_damaged_header_is_refused_by_name(checkpoint, tmp_path, old, new, said):
    file = pack_checkpoint(checkpoint, tmp_path / "packed", packing_named("fp8-row", "trn2"))[0]
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new[: len(old)].ljust(len(old)), 1))
    with pytest.raises(InputError, match=said):
        read_layer(file)


@pytest.mark.parametrize("value", [-1, -(2**31)])
def test_a_damaged_number_of_exact_rows_is_refused(checkpoint, tmp_path, value):
    file = pack_checkpoint(checkpoint, tmp_path / "packed", packing_named("int8"))[0]
    header, start = read_header(file)
    begin = start + header["exact_rows"]["data_offsets"][0]
    content = bytearray(file.read_bytes())
    assert read_layer(file)
    content[begin : begin + 4] = np.int32(value).tobytes()
    file.write_bytes(content)
    with pytest.raises(InputError, match="exact_rows: holds int32 from 0 on"):
        read_layer(file)


@pytest.mark.parametrize("name", ["fp8-row", "mxfp4"])
def test_memory_does_not_grow_with_the_number_of_experts(tmp_path, name):
    experts, one = 24, 3 * 512 * 256 * 4  # bytes of an expert in float32
    shapes = {"gate_proj": (256, 512), "up_proj": (256, 512), "down_proj": (512, 256)}
    folder = save(
        tmp_path / "checkpoint",
        {
            f"model.layers.0.mlp.experts.{e}.{part}.weight": np.ones(shape, np.float32)
            for e in range(experts)
            for part, shape in shapes.items()
        },
        experts,
    )
    tracemalloc.start()
    try:
        pack_checkpoint(folder, tmp_path / "packed", packing_named(name))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert one / 4 < peak < 6 * one

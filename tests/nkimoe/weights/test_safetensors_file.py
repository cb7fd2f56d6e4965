"""The safetensors reader and writer, against bytes written by hand and against the safetensors package."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from nkimoe import InputError
from nkimoe.weights.safetensors_file import DTYPES, create_file, open_tensors, read_header


def file_of(path: Path, header: object, data: bytes, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_reads_bytes_where_the_header_says(tmp_path):
    header = {"b": entry("U8", [3], 4, 7), "a": entry("F32", [1], 0, 4), "__metadata__": {"x": "y"}}
    path = file_of(tmp_path / "f.safetensors", header, b"\0\0\x80\x3f\1\2\3")
    tensors = open_tensors(path)
    assert tensors["a"].tolist() == [1.0]
    assert tensors["b"].tolist() == [1, 2, 3]
    assert set(tensors) == {"a", "b"}
    with pytest.raises(ValueError, match="read-only"):
        tensors["b"][0] = 1
    assert read_header(path)[0]["__metadata__"] == {"x": "y"}


@pytest.mark.parametrize(
    ("header", "data", "length", "actual"),
    [
        ({}, b"", 5000, "with a header of 5000"),
        (b"{nonsense", b"", None, "header: is a JSON object"),
        (b"[1]", b"", None, "got list"),
        ({"a": entry("F32", [2], 0, 8)}, b"1234", None, "bytes 0..8 of 4"),
        ({"a": entry("F32", [2], 0, 4)}, b"1234", None, "bytes 0..4 of 4"),
        ({"a": entry("F32", [1], -4, 0)}, b"1234", None, "bytes -4..0"),
        ({"a": entry("Q4", [1], 0, 4)}, b"1234", None, "got Q4"),
        ({"a": {"dtype": "F32"}}, b"1234", None, "has dtype, shape and data_offsets"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_damaged_files_are_refused_by_name(tmp_path, header, data, length, actual):
    path = file_of(tmp_path / "f.safetensors", header, data, length)
    with pytest.raises(InputError, match=r"f\.safetensors") as caught:
        open_tensors(path)
    assert actual in str(caught.value)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "f.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="0 bytes"):
        open_tensors(tmp_path / "f.safetensors")


@pytest.fixture
def every_dtype() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        name.lower(): rng.integers(0, 100, (3, 2, 5)).astype(dtype) for name, dtype in DTYPES.items() if name != "BOOL"
    }


def write(path: Path, tensors: dict[str, np.ndarray]) -> Path:
    views = create_file(path, {name: (t.dtype, t.shape) for name, t in tensors.items()}, {"made": "here"})
    for name, t in tensors.items():
        views[name][...] = t
    return path


def test_what_is_written_is_read_back(tmp_path, every_dtype):
    again = open_tensors(write(tmp_path / "f.safetensors", every_dtype))
    assert again.keys() == every_dtype.keys()
    for name, t in every_dtype.items():
        assert again[name].dtype == t.dtype
        np.testing.assert_array_equal(again[name], t)


def test_an_existing_file_is_not_overwritten(tmp_path, every_dtype):
    write(tmp_path / "f.safetensors", every_dtype)
    with pytest.raises(FileExistsError):
        write(tmp_path / "f.safetensors", every_dtype)


def test_the_package_reads_what_is_written_here(tmp_path, every_dtype):
    safetensors = pytest.importorskip("safetensors")
    torch = pytest.importorskip("torch")
    path = write(tmp_path / "f.safetensors", every_dtype)
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata() == {"made": "here"}
        assert set(file.keys()) == set(every_dtype)
        for name, t in every_dtype.items():
            carried = file.get_tensor(name).contiguous().view(torch.uint8).numpy()
            np.testing.assert_array_equal(carried.reshape(-1), t.view(np.uint8).reshape(-1))


def test_what_the_package_writes_is_read_here(tmp_path):
    torch = pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.torch").save_file
    values = torch.linspace(-3, 3, 24).reshape(4, 6)
    kinds = {"bf16": torch.bfloat16, "f8": torch.float8_e4m3fn, "f32": torch.float32, "i64": torch.int64}
    save_file({name: values.to(kind) for name, kind in kinds.items()}, tmp_path / "f.safetensors")
    again = open_tensors(tmp_path / "f.safetensors")
    assert again["bf16"].dtype == ml_dtypes.bfloat16
    for name, kind in kinds.items():
        np.testing.assert_array_equal(again[name].astype(np.float32), values.to(kind).float().numpy())

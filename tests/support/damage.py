"""Random damage to a checkpoint: its files, bytes of their headers and of JSON, and the fields of these.

Bytes of tensors are left alone: nothing in the formats says what they should be.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

INDEX = "model.safetensors.index.json"
_NONSENSE: tuple[Any, ...] = (
    None, 0, -1, 1, True, 2.5, "", "x", [], [1], [[]], {}, {"a": 1}, 10**30, float("nan"), float("inf"),
)  # fmt: skip


def damage_text(folder: Path, rng: np.random.Generator) -> str:
    """Damage one file in one way, and say how."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    file = files[rng.integers(len(files))]
    way = WAYS[rng.integers(len(WAYS))]
    return f"{file.name}: {way(file, rng)}"


def _text(file: Path) -> tuple[bytes, int, int]:
    """All bytes of a file, and where its text starts and ends; with the length of a header before it."""
    whole = file.read_bytes()
    if file.suffix == ".json":
        return whole, 0, len(whole)
    return whole, 8, 8 + int.from_bytes(whole[:8], "little")


def _flip(file: Path, rng: np.random.Generator) -> str:
    whole, _, end = _text(file)
    at, byte = int(rng.integers(end)), int(rng.integers(256))
    file.write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
    return f"byte {at} is {byte} instead of {whole[at]}"


def _cut(file: Path, rng: np.random.Generator) -> str:
    whole = file.read_bytes()
    length = int(rng.integers(len(whole)))
    file.write_bytes(whole[:length])
    return f"{length} of {len(whole)} bytes"


def _replace_field(file: Path, rng: np.random.Generator) -> str:
    document = _document(file)
    holder, key = _field(document, rng)
    value = _NONSENSE[rng.integers(len(_NONSENSE))]
    before, holder[key] = holder[key], value
    _write(file, document)
    return f"{key} is {value!r} instead of {before!r}"


def _drop_field(file: Path, rng: np.random.Generator) -> str:
    document = _document(file)
    holder, key = _field(document, rng)
    del holder[key]
    _write(file, document)
    return f"no {key}"


def _grow(file: Path, rng: np.random.Generator) -> str:
    more = int(rng.integers(1, 100))
    file.write_bytes(file.read_bytes() + rng.bytes(more))
    return f"{more} bytes more"


def _lose(file: Path, _: np.random.Generator) -> str:
    file.unlink()
    return "gone"


WAYS = (_flip, _cut, _replace_field, _drop_field, _grow, _lose)


def _document(file: Path) -> Any:
    whole, start, end = _text(file)
    return json.loads(whole[start:end])


def _field(document: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """Some entry of it, and what holds that."""
    keys = list(document) if isinstance(document, dict) else range(len(document))
    key = keys[rng.integers(len(keys))]
    inner = document[key]
    if isinstance(inner, dict | list) and len(inner) and rng.random() < 0.8:
        return _field(inner, rng)
    return document, key


def _write(file: Path, document: Any) -> None:
    whole, start, end = _text(file)
    text = json.dumps(document).encode()
    file.write_bytes(text if start == 0 else len(text).to_bytes(8, "little") + text + whole[end:])

"""Calls with one wrong argument, packed files and checkpoints with damaged bytes: refused by name, or harmless."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from support.case import Case
from support.checkpoint_forms import FORMS, made, packed_bytes, refusal_or_bytes
from support.damage import damage_text
from support.inputs import build_inputs
from support.launch import run
from support.odd_arguments import ODD, names_what_it_refuses
from support.stored_checkpoints import bf16_experts, describe, store, with_routers

from nkimoe import RequestError
from nkimoe.weights import PACKING_NAMES, pack_checkpoint, packing_named, read_layer

CASES = (
    Case(T=40, H=128, I=32, E=2, K=1),
    Case(T=40, H=128, I=32, E=2, K=1, variant="shard_on_i_hybrid", weights="fp8-row", fp8_inputs="both"),
    Case(T=40, H=128, I=32, E=2, K=1, weights="int8", int8_inputs=True),
    Case(T=40, H=128, I=32, E=2, K=1, weights="fp8-block"),
)
E, I = 2, 64
WIDTH, MX_WIDTH = 128, 512


def odd_arguments(rng: np.random.Generator, _: Path) -> str:
    """One argument, one field of an option, or one tensor's values, shape or type, is wrong."""
    case = CASES[rng.integers(len(CASES))]
    call = {**build_inputs(case), **case.options()}
    name = str(rng.choice(sorted(call)))
    old = call[name]
    if isinstance(old, np.ndarray) and rng.random() < 0.7:
        value: Any = _other_array(rng, old)
    elif is_dataclass(old) and not isinstance(old, type) and rng.random() < 0.7:
        field = fields(old)[rng.integers(len(fields(old)))]
        try:
            value = replace(old, **{field.name: ODD[rng.integers(len(ODD))]})
        except ValueError:  # an option that refuses it while it is made
            return "refused"
    else:
        value = ODD[rng.integers(len(ODD))]
    assert names_what_it_refuses({**call, name: value}, name), f"{case}: {name}={value!r}"
    return "right"


def _other_array(rng: np.random.Generator, old: np.ndarray) -> np.ndarray:
    """Another shape or type, or a value out of place."""
    how = rng.integers(6)
    if how == 0:
        return old[:-1] if old.ndim and len(old) > 1 else old[None]
    if how == 1:
        return old[None]
    if how == 2:
        return old.astype(rng.choice(["float64", "int64", "float32", "int32", "uint8", "bool"]))
    if how == 3:
        return old.T
    changed = old.copy().reshape(-1)
    odd = rng.choice([np.nan, np.inf, -np.inf]) if changed.dtype.kind not in "iu" else rng.choice([-(2**31), 2**31 - 1])
    with np.errstate(all="ignore"):
        changed[rng.integers(changed.size)] = np.asarray(odd).astype(changed.dtype)
    return changed.reshape(old.shape)


Damage = Callable[[np.random.Generator, bytes], bytes]


def _flipped(rng: np.random.Generator, content: bytes) -> bytes:
    changed = bytearray(content)
    reach = 400 if rng.random() < 0.7 else len(content)  # mostly the header
    for _ in range(int(rng.integers(1, 5))):
        changed[rng.integers(min(reach, len(content)))] = int(rng.integers(256))
    return bytes(changed)


def _cut(rng: np.random.Generator, content: bytes) -> bytes:
    return content[: rng.integers(len(content))]


def _grown(rng: np.random.Generator, content: bytes) -> bytes:
    return content + rng.bytes(int(rng.integers(1, 100)))


def _misspelt(rng: np.random.Generator, content: bytes) -> bytes:
    """The letters of a word of the header in another order."""
    word = rng.choice([b"dtype", b"shape", b"U8", b"BF16", b"F32", b"data_offsets", b"dtypes", b"packing", b"I8"])
    return content.replace(word, bytes(rng.permutation(bytearray(word))), 1)


def _zeroed(rng: np.random.Generator, content: bytes) -> bytes:
    start = int(rng.integers(len(content)))
    size = int(rng.integers(1, 500))
    return content[:start] + bytes(min(size, len(content) - start)) + content[start + size :]


DAMAGES: dict[str, Damage] = {
    "flipped": _flipped, "cut": _cut, "grown": _grown, "misspelt": _misspelt, "zeroed": _zeroed,
}  # fmt: skip


def save_checkpoint(folder: Path, layers: int = 1, experts: int = E, H: int = WIDTH) -> Path:
    """A made-up checkpoint in a new folder."""
    tensors = bf16_experts(range(layers), experts, H, I)
    return describe(store(folder, with_routers(tensors, experts, H)), experts)


@functools.cache
def _whole(packing: str, case: Case) -> bytes:
    """A packed layer."""
    with tempfile.TemporaryDirectory() as scratch:
        source = save_checkpoint(Path(scratch) / "checkpoint", H=case.H)
        (file,) = pack_checkpoint(source, Path(scratch) / "packed", packing_named(packing, case.target))
        return file.read_bytes()


def packed_file(rng: np.random.Generator, folder: Path) -> str:
    """A packed layer with some damage, read and used."""
    packing = str(rng.choice(PACKING_NAMES))
    case = Case(T=20, H=WIDTH, I=I, E=E, K=1, biases="none")
    if packing.startswith("mx"):
        variant = str(rng.choice(["shard_on_block_mx", "shard_on_i_mx", "shard_on_i_mx_hybrid"]))
        case = replace(case, H=MX_WIDTH, weights=packing, variant=variant, target="trn3")
    damage = DAMAGES[str(rng.choice(sorted(DAMAGES)))]
    path = folder / "layer-00000.safetensors"
    path.write_bytes(damage(rng, _whole(packing, case)))
    try:
        plain = {n: v for n, v in build_inputs(case).items() if not n.startswith(("gate_up_proj", "down_proj"))}
        run(case, {**plain, **read_layer(path)})
    except RequestError:
        return "refused"
    return "right"


@functools.cache
def _packed(form: str) -> list[bytes]:
    """What a whole checkpoint becomes."""
    with tempfile.TemporaryDirectory() as scratch:
        return packed_bytes(made(Path(scratch) / "whole", form), form, Path(scratch) / "packed")


def checkpoint(rng: np.random.Generator, folder: Path) -> str:
    """A checkpoint in several files, damaged in one of them, packed."""
    form = str(rng.choice(sorted(FORMS)))
    source = made(folder / "checkpoint", form, shards=int(rng.integers(1, 5)), has_index=bool(rng.random() < 0.5))
    how = damage_text(source, rng)
    error, found = refusal_or_bytes(source, form, folder / "packed")
    assert found in (None, _packed(form)), f"{form}, {how}: other weights"
    assert "\n" not in error, f"{form}, {how}: {error}"
    return "refused" if error else "right"

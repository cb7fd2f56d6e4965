# SPDX-License-Identifier: Apache-2.0
"""The files of a checkpoint's folder, and which tensor lies in which: all of them there, whole, and of one mind."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from nkimoe.errors import InputError
from nkimoe.json_object import DOWNLOAD, read_object
from nkimoe.weights.safetensors_file import read_header

INDEX = "model.safetensors.index.json"
ALL_FILES = "Download all its files."
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>[0-9]{1,6})-of-(?P<count>[0-9]{1,6})\.safetensors")


def files_of_tensors(folder: Path) -> dict[str, str]:
    """From the name of every tensor to that of its file.

    Raises:
        InputError: there is no file of tensors; one is missing or damaged; the index and the files disagree.
    """
    index = folder / INDEX
    file_of = _indexed(folder, index) if os.path.lexists(index) else _found(folder)
    _check_shards(folder, set(file_of.values()))
    return file_of


def _indexed(folder: Path, index: Path) -> dict[str, str]:
    file_of = read_object(index).get("weight_map")
    if not isinstance(file_of, dict) or not file_of or not all(isinstance(file, str) for file in file_of.values()):
        raise InputError(INDEX, "has a weight_map from tensors to files", type(file_of).__name__, DOWNLOAD)
    files = sorted(set(file_of.values()))
    for file in files:
        if Path(file).name != file or not (folder / file).is_file():
            raise InputError(folder.name, "holds the files its index names", f"no {file}", ALL_FILES)
    held = {(name, file) for file in files for name in _names(folder / file)}
    for name, file in sorted(set(file_of.items()) - held):
        raise InputError(file, f"holds {name}, as the index says", "no such tensor", DOWNLOAD)
    for name, file in sorted(held - set(file_of.items())):
        raise InputError(file, "holds no tensor that the index does not name there", name, DOWNLOAD)
    return file_of


def _found(folder: Path) -> dict[str, str]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(str(folder), "holds .safetensors files", "none", "Give the folder of a checkpoint.")
    file_of: dict[str, str] = {}
    for file in files:
        for name in _names(file):
            if name in file_of:
                raise InputError(name, "is in one file", f"{file_of[name]} and {file.name}", "Remove one of them.")
            file_of[name] = file.name
    return file_of


def _names(file: Path) -> list[str]:
    return [name for name in read_header(file)[0] if name != "__metadata__"]


def _check_shards(folder: Path, files: Iterable[str]) -> None:
    """Of files called ...-00001-of-00003 there are as many as they say, counted from 1 or, as some are, from 0."""
    numbers: dict[tuple[str, int], set[int]] = defaultdict(set)
    for found in filter(None, map(_SHARD.fullmatch, files)):
        numbers[found["stem"], int(found["count"])].add(int(found["number"]))
    for (stem, count), present in numbers.items():
        wanted = set(range(count) if 0 in present and count not in present else range(1, count + 1))
        if wrong := sorted(wanted - present or present - wanted - {0}):
            rule = f"holds the {count} files {stem}-...-of-{count:05d}.safetensors"
            actual = f"{'no ' if wrong[0] in wanted else ''}number {wrong[0]}"
            raise InputError(str(folder), rule, actual, ALL_FILES)

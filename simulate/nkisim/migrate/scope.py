# SPDX-License-Identifier: Apache-2.0
"""What names of a file mean: modules of NKI 0.1, index tensors, tiles."""

from __future__ import annotations

import ast

_PACKAGE = "neuronxcc"
_INDEX_MAKERS = ("nl.arange", "nl.mgrid")
_NO_TILES = {
    "affine_range", "sequential_range", "static_range", "par_dim", "arange", "mgrid", "program_id", "num_programs",
    "program_ndim", "ds", "tile_size", "store", "get_nc_version", "nc", "spmd_dim", "fp32", "finfo",
}  # fmt: skip


class Scope:
    """The names of a file.

    Attributes:
        is_older: whether the file imports NKI 0.1.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._modules: dict[str, str] = {}
        self.is_older = False
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._bind(alias.name, alias.asname or alias.name.partition(".")[0])
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    self._bind(f"{node.module}.{alias.name}", alias.asname or alias.name)
        self.indices, self.tiles, self.in_hbm = set[str](), set[str](), set[str]()
        for _ in range(2):  # what is made of a tile further down is a tile, too
            for node in ast.walk(tree):
                self._assigned(node)

    def _bind(self, module: str, name: str) -> None:
        if module.split(".")[0] == _PACKAGE:
            self.is_older = True
            inner = module.removeprefix(f"{_PACKAGE}.nki").removeprefix(".")
            self._modules[name] = inner

    def name(self, node: ast.AST) -> str:
        """`nl.load`, `nisa.activation`, `nki.jit`, `ncc.sbuf.mod_alloc`; "" for what is no name of NKI 0.1."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self._modules:
            return ""
        full = [part for part in (*self._modules[node.id].split("."), *parts) if part]
        short = {"language": "nl", "isa": "nisa", "compiler": "ncc", "typing": "nt"}
        if not full:
            return "nki"
        return ".".join((short[full[0]], *full[1:])) if full[0] in short else ".".join(("nki", *full))

    def called(self, node: ast.AST) -> str:
        """The name of NKI 0.1 that a call calls, or ""."""
        return self.name(node.func) if isinstance(node, ast.Call) else ""

    def _assigned(self, node: ast.AST) -> None:
        if not isinstance(node, ast.Assign):
            return
        names = {part.id for target in node.targets for part in ast.walk(target) if isinstance(part, ast.Name)
                 and isinstance(part.ctx, ast.Store)}  # fmt: skip
        if any(self.name(part) in _INDEX_MAKERS for part in ast.walk(node.value)):
            self.indices |= names
        elif self.is_in_hbm(node.value):
            self.in_hbm |= names
        elif self.is_tile(node.value):
            self.tiles |= names

    def is_in_hbm(self, node: ast.AST) -> bool:
        """Whether a call allocates in HBM."""
        return isinstance(node, ast.Call) and any(
            self.name(keyword.value) in ("nl.hbm", "nl.shared_hbm", "nl.private_hbm") for keyword in node.keywords
        )

    def is_tile(self, node: ast.AST) -> bool:
        """Whether an expression is a tile on chip, as far as the source tells."""
        if isinstance(node, ast.Name):
            return node.id in self.tiles
        if isinstance(node, ast.Subscript):
            return self.is_tile(node.value)
        if isinstance(node, ast.BinOp):
            return self.is_tile(node.left) or self.is_tile(node.right)
        if isinstance(node, ast.Call):
            name = self.called(node)
            if isinstance(node.func, ast.Attribute) and node.func.attr in ("broadcast_to", "reshape") and not name:
                return self.is_tile(node.func.value)
            place, _, last = name.partition(".")
            return place in ("nl", "nisa") and last.partition(".")[0] not in _NO_TILES and not self.is_in_hbm(node)
        return False

    def uses_index(self, node: ast.AST) -> bool:
        """Whether index tensors stand in an expression."""
        return any(
            (isinstance(part, ast.Name) and part.id in self.indices) or self.name(part) in _INDEX_MAKERS
            for part in ast.walk(node)
        )

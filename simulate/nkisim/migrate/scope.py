# SPDX-License-Identifier: Apache-2.0
"""What names of a file mean: modules of NKI 0.1, index tensors, tiles."""

from __future__ import annotations

import ast

_PACKAGE = "neuronxcc"
INDEX_MAKERS = ("nl.arange", "nl.mgrid")
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
        self._index_functions = set[str]()
        self._statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for _ in range(3):  # what is made of a tile further down is a tile, too; functions stand before their calls
            for node in ast.walk(tree):
                self._learn(node)

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

    def is_statement(self, node: ast.Call) -> bool:
        """Whether nothing takes what a call returns."""
        return id(node) in self._statements

    def _learn(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign):
            self._assigned(node)
        elif isinstance(node, ast.FunctionDef):
            returned = [part.value for part in ast.walk(node) if isinstance(part, ast.Return) and part.value]
            if any(self.is_index(value) for value in returned):
                self._index_functions.add(node.name)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "append":
            held = node.func.value
            if isinstance(held, ast.Name) and any(self.is_index(value) for value in node.args):
                self.indices.add(held.id)

    def _assigned(self, node: ast.Assign) -> None:
        names = {part.id for target in node.targets for part in ast.walk(target) if isinstance(part, ast.Name)
                 and isinstance(part.ctx, ast.Store)}  # fmt: skip
        if self.is_index(node.value):
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

    def is_index(self, node: ast.AST) -> bool:
        """Whether an expression is an index tensor or holds some, as far as the source tells."""
        if self.name(node) in INDEX_MAKERS or (isinstance(node, ast.Name) and node.id in self.indices):
            return True
        if isinstance(node, ast.Call):
            return self.is_index(node.func) or (
                isinstance(node.func, ast.Name) and node.func.id in self._index_functions
            )
        if isinstance(node, (ast.Attribute, ast.Subscript)):
            return self.is_index(node.value)
        parts = (
            (node.left, node.right) if isinstance(node, ast.BinOp)
            else node.elts if isinstance(node, (ast.Tuple, ast.List)) else ()
        )  # fmt: skip
        return any(self.is_index(part) for part in parts)

    def uses_index(self, node: ast.AST) -> bool:
        """Whether index tensors stand in an expression."""
        return any(self.is_index(part) for part in ast.walk(node))

"""Imports point one way: the simulator never sees the library, and its packages are layers."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "nkimoe"
SIMULATOR = ROOT / "simulate" / "nkisim"

# A layer imports itself and the layers above it in this list. Modules directly in nkisim are free, and no
# layer imports them (errors.py, the lowest layer, and compat.py are the exceptions).
LAYERS = (
    "renamed",
    "errors",
    "dtypes",
    "machine",
    "fitting",
    "memory",
    "observe",
    "execution",
    "operations",
    "instructions",
    "language",
    "timing",
    "report",
    "compat",
    "nki",
    "lint",
    "legacy",
    "migrate",
    "prove",
)
# Readers of events: they know what happened, not how. Reports read the time model, too.
SEEN_BY_EVENT_READERS = ("errors", "dtypes", "machine", "memory", "observe")
EVENT_READERS = {
    "observe": SEEN_BY_EVENT_READERS,
    "timing": SEEN_BY_EVENT_READERS,
    "report": (*SEEN_BY_EVENT_READERS, "timing"),
}

KERNELS_MAY_IMPORT = {"nki", "nkimoe"} | sys.stdlib_module_names
KERNELS_MAY_NOT_IMPORT = {"nkimoe.cli", "nkimoe.routing", "nkimoe.weights"}

# Stages of one numerics and the backward pass share what lies beside these folders, and nothing of each other's.
KERNELS = "nkimoe.kernels"
APART = (f"{KERNELS}.stages.dense", f"{KERNELS}.stages.int8", f"{KERNELS}.stages.mx", f"{KERNELS}.backward")
SHARED = f"{KERNELS}.stages"


def imported_modules(source: str, module: str, is_package: bool = False) -> Iterator[str]:
    """Dotted names a module imports, wherever the statement stands. `from a import b` counts as `a.b`."""
    base = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = base[: len(base) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def is_inside(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def layers_seen_by(layer: str) -> set[str]:
    return {layer, *EVENT_READERS.get(layer, LAYERS[: LAYERS.index(layer)])}


def forbidden_in_simulator(source: str, module: str, is_package: bool = False) -> list[str]:
    names = [*imported_modules(source, module, is_package)]
    forbidden = [name for name in names if is_inside(name, "nkimoe")]
    layer = module.split(".")[1] if "." in module else None
    if layer in LAYERS:
        seen = layers_seen_by(layer)
        own = [name for name in names if is_inside(name, "nkisim")]
        forbidden += [name for name in own if "." not in name or name.split(".")[1] not in seen]
    return forbidden


def older_at_once(source: str, module: str, is_package: bool = False) -> list[str]:
    """Imports of the older dialect in statements that run when the module is imported."""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if not isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    names = imported_modules(ast.unparse(tree), module, is_package)
    return [name for name in names if is_inside(name, "nkisim.legacy")]


def forbidden_in_kernels(source: str, module: str, is_package: bool = False) -> list[str]:
    return [
        name
        for name in imported_modules(source, module, is_package)
        if name.split(".")[0] not in KERNELS_MAY_IMPORT
        or any(is_inside(name, package) for package in KERNELS_MAY_NOT_IMPORT)
    ]


def forbidden_between_kernels(source: str, module: str, is_package: bool = False) -> list[str]:
    """Imports by one of the folders that lie apart, or by what they share, of one of these folders."""
    own = next((folder for folder in APART if is_inside(module, folder)), None)
    if own is None and not is_inside(module, SHARED):
        return []
    others = [folder for folder in APART if folder != own]
    names = imported_modules(source, module, is_package)
    return [name for name in names if any(is_inside(name, folder) for folder in others)]


def modules_in(folder: Path, root: Path) -> Iterator[tuple[str, str, bool]]:
    """Source, dotted name, and whether it is a package, of every module below the folder."""
    for path in sorted(folder.rglob("*.py")):
        is_package = path.name == "__init__.py"
        parts = path.relative_to(root).with_suffix("").parts
        yield path.read_text("utf-8"), ".".join(parts[:-1] if is_package else parts), is_package


Faces = dict[str, dict[str, str]]
"""By package, where its `__init__` has its names from: the dotted origin by name."""


def faces_of(sources: dict[str, tuple[str, bool]]) -> Faces:
    """The faces among modules, given as source and whether it is a package, by dotted name."""
    found: Faces = {}
    for module, (source, is_package) in sources.items():
        if is_package:
            origins: dict[str, str] = {}
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.ImportFrom):
                    names = imported_modules(ast.unparse(node), module, is_package=True)
                    origins |= {alias.asname or alias.name: name for alias, name in zip(node.names, names, strict=True)}
            found[module] = origins
    return found


def file_behind(name: str, importer: str, modules: set[str], faces: Faces) -> str | None:
    """The module an imported dotted name stands for; None outside `modules`.

    Who stands outside a package sees its face. A file inside it has an arrow to the file that defines the name.
    """
    parts = name.split(".")
    module = next((m for n in range(len(parts), 0, -1) if (m := ".".join(parts[:n])) in modules), None)
    if module is None or module == name or not is_inside(importer, module):
        return module
    origin = faces.get(module, {}).get(name.removeprefix(f"{module}."), module)
    return module if origin == module else file_behind(origin, importer, modules, faces)


def circles(sources: dict[str, tuple[str, bool]]) -> list[list[str]]:
    """Files that import each other in a circle, wherever the statements stand: each set once, sorted."""
    arrows = arrows_of(sources)
    reached = {module: reachable(module, arrows) for module in arrows}
    found = {frozenset(b for b in reached[a] if a in reached[b]) for a in arrows if a in reached[a]}
    return sorted(sorted(circle) for circle in found)


def arrows_of(sources: dict[str, tuple[str, bool]]) -> dict[str, set[str]]:
    """The files that each file imports."""
    faces, modules = faces_of(sources), set(sources)
    return {
        module: {
            target
            for name in imported_modules(source, module, is_package)
            if (target := file_behind(name, module, modules, faces)) not in (None, module)
        }
        for module, (source, is_package) in sources.items()
    }


def reachable(start: str, arrows: dict[str, set[str]]) -> set[str]:
    """Every module at the end of a path of arrows, `start` only if a circle leads back to it."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        fresh = arrows[waiting.pop()] - found
        found |= fresh
        waiting += fresh
    return found


@pytest.mark.parametrize(
    ("package", "root"), [(SIMULATOR, SIMULATOR.parent), (LIBRARY, ROOT)], ids=["nkisim", "nkimoe"]
)
def test_no_file_imports_itself_through_others(package: Path, root: Path) -> None:
    sources = {module: (source, is_package) for source, module, is_package in modules_in(package, root)}
    assert sources
    assert circles(sources) == []


def test_nothing_is_imported_for_types_alone_in_the_simulator() -> None:
    guarded = [name for source, name, _ in modules_in(SIMULATOR, SIMULATOR.parent) if "TYPE_CHECKING" in source]
    assert guarded == []


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        ({"a": "import b", "b": "import a"}, [["a", "b"]]),
        ({"a": "from b import f", "b": "def g():\n    from a import h"}, [["a", "b"]]),
        ({"a": "if TYPE_CHECKING:\n    from b import B", "b": "import c", "c": "import a"}, [["a", "b", "c"]]),
        ({"p": "from p.a import f", "p.a": "from p import g"}, [["p", "p.a"]]),
        ({"p": "from p.a import f", "p.a": "from . import b", "p.b": "from .a import f"}, [["p.a", "p.b"]]),
        (
            {"p": "from .a import f\nfrom .b import g", "p.a": "from p import g", "p.b": "from p import f"},
            [["p.a", "p.b"]],
        ),
        ({"p": "from p.a import f", "p.a": "import q", "q": "from p import f"}, [["p", "p.a", "q"]]),
        ({"a": "import b", "b": "import a", "c": "import d", "d": "import c"}, [["a", "b"], ["c", "d"]]),
    ],
)
def test_a_circle_is_found_wherever_its_imports_stand(sources: dict[str, str], found: list[list[str]]) -> None:
    assert circles({module: (source, module == "p") for module, source in sources.items()}) == found


@pytest.mark.parametrize(
    "sources",
    [
        {"a": "import b\nimport numpy", "b": "from c import f", "c": ""},
        {"p": "from p.a import f\nfrom p.b import g", "p.a": "", "p.b": "from p import f"},
        {"p": "from p.a import f as g", "p.a": "", "p.b": "from p import g"},
        {"p": "from p.a import f", "p.a": "from . import b", "p.b": ""},
        {"p": "from p.a import f", "p.a": "", "q": "from p import f"},
    ],
)
def test_a_face_and_the_files_behind_it_are_no_circle(sources: dict[str, str]) -> None:
    assert circles({module: (source, module == "p") for module, source in sources.items()}) == []


def test_the_simulator_imports_only_downwards_and_never_the_library() -> None:
    modules = [*modules_in(SIMULATOR, SIMULATOR.parent)]
    found = {name: forbidden_in_simulator(source, name, package) for source, name, package in modules}
    assert modules
    assert {name: imports for name, imports in found.items() if imports} == {}


def test_every_package_of_the_simulator_has_its_place_in_the_order() -> None:
    packages = {path.parent.name for path in SIMULATOR.glob("*/*.py")}
    assert packages - set(LAYERS) == set()


def test_nothing_imports_the_older_dialect_when_it_is_imported_itself() -> None:
    modules = [*modules_in(SIMULATOR, SIMULATOR.parent)]
    outside = [(source, name, package) for source, name, package in modules if not is_inside(name, "nkisim.legacy")]
    assert outside
    assert {name: found for source, name, package in outside if (found := older_at_once(source, name, package))} == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from nkisim.legacy.kernel import jit", ["nkisim.legacy.kernel.jit"]),
        ("import nkisim.legacy", ["nkisim.legacy"]),
        ("def f():\n    from nkisim.legacy import kernel", []),
        ("from nkisim import report", []),
    ],
)
def test_an_import_of_the_older_dialect_is_found_unless_it_waits_for_a_call(source: str, found: list[str]) -> None:
    assert older_at_once(source, "nkisim.prove_command") == found


def test_kernels_import_only_nki_and_the_library() -> None:
    modules = modules_in(LIBRARY / "kernels", ROOT)
    found = {name: forbidden_in_kernels(source, name, package) for source, name, package in modules}
    assert {name: imports for name, imports in found.items() if imports} == {}


def test_kernels_of_one_numerics_and_the_backward_pass_do_not_import_each_other() -> None:
    modules = [*modules_in(LIBRARY / "kernels", ROOT)]
    found = {name: forbidden_between_kernels(source, name, package) for source, name, package in modules}
    assert {name: imports for name, imports in found.items() if imports} == {}
    assert set(APART) <= found.keys()


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("nkimoe.kernels.stages.mx.weights", "from nkimoe.kernels.stages.dense.weights import DenseWeights"),
        ("nkimoe.kernels.stages.mx.weights", "from ..dense import weights"),
        ("nkimoe.kernels.stages.dense.weights", "from nkimoe.kernels.stages import mx"),
        ("nkimoe.kernels.backward.weights", "from nkimoe.kernels.stages.dense.weights import DenseWeights"),
        ("nkimoe.kernels.stages.dense.weights", "import nkimoe.kernels.backward.weights"),
        ("nkimoe.kernels.stages.weight_pieces", "from nkimoe.kernels.stages.mx.operands import MxOperand"),
    ],
)
def test_an_import_across_kernels_that_lie_apart_is_found(module: str, source: str) -> None:
    assert len(forbidden_between_kernels(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("nkimoe.kernels.stages.mx.weights", "from nkimoe.kernels.stages.mx.operands import MxOperand"),
        ("nkimoe.kernels.backward.weights", "from nkimoe.kernels.stages.weight_pieces import Pieces"),
        ("nkimoe.kernels.numerics", "from nkimoe.kernels.stages import dense, mx"),
    ],
)
def test_kernels_may_import_their_own_folder_and_what_all_share(module: str, source: str) -> None:
    assert forbidden_between_kernels(source, module) == []


def test_operations_reach_no_file_that_needs_the_simulator() -> None:
    sources = {module: (source, is_package) for source, module, is_package in modules_in(LIBRARY, ROOT)}
    reached = reachable("nkimoe.ops", arrows_of(sources))
    assert {"nkimoe.tuning.table", "nkimoe.ops.fused_moe"} <= reached
    imported = {name: [*imported_modules(sources[name][0], name, sources[name][1])] for name in reached}
    assert [name for name, names in imported.items() if any(is_inside(each, "nkisim") for each in names)] == []


def test_routing_kernels_import_only_nki_and_the_library() -> None:
    modules = [*modules_in(LIBRARY / "routing" / "on_device", ROOT)]
    names = {name for source, module, package in modules for name in imported_modules(source, module, package)}
    assert modules
    assert {name for name in names if name.split(".")[0] not in KERNELS_MAY_IMPORT} == set()


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("nkisim.memory.door", "from nkisim.dtypes import convert\nfrom nkisim.memory.views import Layout"),
        (
            "nkisim.memory.door",
            "from nkisim import errors, memory\nimport nkisim.machine.loader\nimport numpy as np",
        ),
        ("nkisim.memory.door", "from . import views\nfrom ..errors import NkiError"),
        ("nkisim.instructions.activation", "from nkisim.execution.neuron_core import current_core"),
        ("nkisim.report.summary", "from nkisim.observe import Event\nfrom nkisim.timing import Timeline"),
        ("nkisim.instructions.activation", "from nkisim.operations import checks"),
        ("nkisim.nki.isa", "from nkisim.instructions import registry"),
        ("nkisim.simulator", "from nkisim.nki import isa\nfrom nkisim import install, timing"),
    ],
)
def test_an_import_of_a_lower_layer_is_allowed(module: str, source: str) -> None:
    assert forbidden_in_simulator(source, module) == []


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("nkisim.memory.door", "from nkisim.observe import Event", "nkisim.observe.Event"),
        ("nkisim.memory.door", "from nkisim import execution", "nkisim.execution"),
        ("nkisim.memory.door", "import nkisim", "nkisim"),
        ("nkisim.memory.door", "def f():\n    from ..timing import queues", "nkisim.timing.queues"),
        ("nkisim.memory.door", "if x:\n    import nkisim.nki.isa", "nkisim.nki.isa"),
        ("nkisim.errors", "import nkisim.dtypes", "nkisim.dtypes"),
        ("nkisim.timing.queues", "import nkisim.execution", "nkisim.execution"),
        ("nkisim.timing.queues", "import nkisim.report", "nkisim.report"),
        ("nkisim.report.summary", "from nkisim.execution import launch", "nkisim.execution.launch"),
        ("nkisim.operations.checks", "from nkisim.instructions import activation", "nkisim.instructions.activation"),
        ("nkisim.observe.races", "from nkisim.instructions import table", "nkisim.instructions.table"),
        ("nkisim.nki.isa", "from nkisim import Simulator", "nkisim.Simulator"),
        ("nkisim.simulator", "from nkimoe.planning.plan import explain", "nkimoe.planning.plan.explain"),
        ("nkisim.memory.door", "import nkimoe", "nkimoe"),
    ],
)
def test_an_import_of_a_higher_layer_or_of_the_library_is_found(module: str, source: str, found: str) -> None:
    assert forbidden_in_simulator(source, module) == [found]


def test_a_relative_import_in_a_package_file_starts_at_the_package() -> None:
    assert [*imported_modules("from . import door", "nkisim.memory", is_package=True)] == ["nkisim.memory.door"]
    assert [*imported_modules("from .. import timing", "nkisim.memory", is_package=True)] == ["nkisim.timing"]


@pytest.mark.parametrize(
    "source",
    [
        "import nki.isa as nisa\nimport nki.language as nl",
        "from nkimoe.planning.problem import Problem\nfrom nkimoe.planning import tiling",
        "from . import gather_tokens\nfrom ..schedules.static import run",
        "import math\nfrom dataclasses import dataclass",
    ],
)
def test_a_kernel_may_import_nki_the_library_and_the_standard_library(source: str) -> None:
    assert forbidden_in_kernels(source, "nkimoe.kernels.stages.scale_by_affinity") == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import numpy as np", "numpy"),
        ("from nkisim.dtypes import DTYPES", "nkisim.dtypes.DTYPES"),
        ("from nkimoe import routing", "nkimoe.routing"),
        ("from nkimoe.routing.mapping import BlockMapping", "nkimoe.routing.mapping.BlockMapping"),
        ("from ...cli import main", "nkimoe.cli.main"),
        ("import nki_extras", "nki_extras"),
        ("import neuronxcc.nki", "neuronxcc.nki"),
    ],
)
def test_a_kernel_that_imports_anything_else_is_found(source: str, found: str) -> None:
    assert forbidden_in_kernels(source, "nkimoe.kernels.stages.scale_by_affinity") == [found]

"""Every public name says what it is: a docstring of its own, with the shapes it takes and the errors it raises."""

import ast
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.memory import NkiTensor
from nkisim.operations.instruction_help import names
from website.python_reference import MODULES, homes, public_names, source_of

FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
ARRAYS = ("Array", "Tensor")


def definition(module: str, name: str) -> tuple[ast.stmt | None, str]:
    """The statement that defines a name of a module, followed through imports, and its docstring."""
    where = homes(module)
    if name in where:
        return definition(where[name], name)
    return defined(source_of(module).read_text("utf-8"), name)


def defined(source: str, name: str) -> tuple[ast.stmt | None, str]:
    body = ast.parse(source).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, FUNCTION | ast.ClassDef) and node.name == name:
            return node, ast.get_docstring(node) or ""
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in targets(node):
            says = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            return node, str(after.value.value) if says else ""
    return None, ""


def targets(node: ast.Assign | ast.AnnAssign) -> set[str]:
    found = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {leaf.id for target in found for leaf in ast.walk(target) if isinstance(leaf, ast.Name)}


def problems(node: ast.stmt | None, text: str) -> list[str]:
    """What the docstring of a definition lacks."""
    if not text:
        return ["has no docstring"]
    found = []
    if isinstance(node, FUNCTION):
        annotated = [each.annotation for each in (*node.args.args, *node.args.kwonlyargs)]
        takes_arrays = any(each is not None and ast.unparse(each).split(" ")[0] in ARRAYS for each in annotated)
        if takes_arrays and "[" not in text and "shape" not in text:
            found.append("takes arrays and gives no shape")
        if any(isinstance(inner, ast.Raise) for inner in ast.walk(node)) and "Raises:" not in text:
            found.append("raises and does not say what")
    return found


@pytest.mark.parametrize("module", [*MODULES, "nkimoe.ops"])
def test_every_public_name_has_a_docstring_with_shapes_and_errors(module: str) -> None:
    names = public_names(module)
    assert names
    found = {name: problems(*definition(module, name)) for name in names}
    assert {name: lacks for name, lacks in found.items() if lacks} == {}


def unsaid(function: Callable[..., Any]) -> list[str]:
    """Parameters that a docstring does not name."""
    text = inspect.getdoc(function) or ""
    return [name for name in inspect.signature(function).parameters if not names(text, name)]


def lacks_errors(function: Callable[..., Any]) -> bool:
    """Whether a function takes tensors, each of which may break a rule, and its docstring has no word of errors."""
    annotations = str(inspect.signature(function))
    return ("NkiTensor" in annotations or "x: " in annotations) and "Raises:" not in (inspect.getdoc(function) or "")


@pytest.mark.parametrize("name", nisa.__all__)
def test_every_name_of_the_instruction_set_says_what_each_argument_means(name: str) -> None:
    value = getattr(nisa, name)
    assert inspect.getdoc(value)
    assert not inspect.isfunction(value) or unsaid(value) == []


@pytest.mark.parametrize("name", nl.__all__)
def test_every_name_of_the_language_says_what_it_is_takes_and_raises(name: str) -> None:
    value = getattr(nl, name)
    assert inspect.getdoc(value)
    if inspect.isfunction(value):
        assert unsaid(value) == []
        assert not lacks_errors(value)


def test_what_help_does_not_say_is_found() -> None:
    def good(x: NkiTensor, axis: int) -> None:
        """Adds up x [P, ...] along axis.

        Raises:
            ShapeError: there is no such axis.
        """

    def bad(x: NkiTensor, axis: int) -> None:
        """Adds up x.

        ```python
        bad(x, axis=1)
        ```
        """

    assert (unsaid(good), lacks_errors(good)) == ([], False)
    assert (unsaid(bad), lacks_errors(bad)) == (["axis"], True)


@pytest.mark.parametrize("name", public_names("nkimoe.ops"))
def test_every_operation_says_what_it_takes_returns_and_raises(name: str) -> None:
    _, text = definition("nkimoe.ops", name)
    assert [section for section in ("Args:", "Returns:", "Raises:") if section not in text] == []


def test_what_a_docstring_lacks_is_found() -> None:
    source = 'def f(x: Array) -> None:\n    """Takes x."""\n    raise ValueError\nA = 1\nB: int = 2\n"""B."""\n'
    assert problems(*defined(source, "f")) == ["takes arrays and gives no shape", "raises and does not say what"]
    assert problems(*defined(source, "A")) == ["has no docstring"]
    assert problems(*defined(source, "B")) == []
    raises = '"""Takes x [T, H].\n\n    Raises:\n        ValueError: always.\n    """'
    good = f"def f(x: Array) -> None:\n    {raises}\n    raise ValueError"
    assert problems(*defined(good, "f")) == []


def test_a_module_page_lists_what_is_imported_from_elsewhere() -> None:
    assert homes("nkimoe")["moe_cte"] == "nkimoe.moe_cte"
    assert {"moe_cte", "check_inputs", "MoECTESpec"} <= set(public_names("nkimoe"))

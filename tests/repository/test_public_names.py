"""Every public name says what it is: a docstring of its own, with the shapes it takes and the errors it raises."""

import ast

import pytest

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

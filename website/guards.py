"""The rules an instruction checks, read from its source: its own, and the shared ones it calls by operand."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from nkisim import errors

STATED = ("nkisim.operations.checks", "nkisim.operations.device_rules")
"""Modules each of whose functions is one rule, which the first sentence of its docstring states."""
READ = ("nkisim.operations.", "nkisim.instructions.")
"""Where rules are."""
Conditions = tuple[str, ...]
"""Tests that hold where something is checked."""


class Guard(NamedTuple):
    """One rule: the operands it is checked for, none where its text names them; its text, with the condition under
    which it is checked; the codes of its errors.
    """

    operands: tuple[str, ...]
    rule: str
    codes: tuple[str, ...]


class Reading:
    """A function while it is read, and in words what its parameters are."""

    def __init__(self, function: FunctionType, given: dict[str, str]) -> None:
        self.function = function
        self.given = given

    def words(self, value: ast.expr) -> str:
        """An expression as a reader needs it: its value where the module knows that, else its source in backticks."""
        if isinstance(value, ast.Starred):
            return self.words(value.value)
        if isinstance(value, ast.Name) and value.id in self.given:
            return self.given[value.id]
        try:
            known = eval(compile(ast.Expression(value), "rule", "eval"), self.function.__globals__)
        except Exception:  # whatever of a kernel it needs, which does not run now
            return f"`{ast.unparse(value)}`"
        return _listed(known)


def guards_of(instruction: Callable[..., Any]) -> list[Guard]:
    """The rules of an instruction in the order of its source, each once, with all operands it is checked for."""
    body = inspect.unwrap(instruction)
    parameters = set(inspect.signature(body).parameters)
    operands: dict[tuple[str, tuple[str, ...]], dict[str, None]] = {}
    for guard in _guards(Reading(body, {name: name for name in parameters}), ()):
        named = (name for name in guard.operands if name in parameters)
        operands.setdefault((guard.rule, guard.codes), {}).update(dict.fromkeys(named))
    return [Guard(tuple(names), rule, codes) for (rule, codes), names in operands.items()]


def _guards(reading: Reading, above: tuple[FunctionType, ...], where: Conditions = ()) -> Iterator[Guard]:
    for node, inner in _under_conditions(_tree(reading.function)):
        conditions = (*where, *inner)
        if isinstance(node, ast.Raise):
            for guard in _raised(node, reading):
                yield guard._replace(rule=guard.rule + _told(conditions[:-1]))  # the last one is the rule, turned round
        called = _called(node, reading.function)
        if called is None or called in above or not isinstance(node, ast.Call):
            continue
        given = _given(called, node, reading)
        if called.__module__ not in STATED:
            yield from _guards(Reading(called, given), (*above, reading.function), conditions)
        elif _codes(called):
            yield Guard(_operands(node, reading), _stated(called, given) + _told(conditions), _codes(called))


def _told(conditions: Conditions) -> str:
    return f", where `{' and '.join(conditions)}`" if conditions else ""


def _under_conditions(node: ast.AST, conditions: Conditions = ()) -> Iterator[tuple[ast.AST, Conditions]]:
    """All nodes, in the order of the source, with the tests of the `if`s that they stand in."""
    yield node, conditions
    if not isinstance(node, ast.If):
        for child in ast.iter_child_nodes(node):
            yield from _under_conditions(child, conditions)
        return
    yield from _under_conditions(node.test, conditions)
    for branch, test in ((node.body, node.test), (node.orelse, ast.UnaryOp(ast.Not(), node.test))):
        for child in branch:
            yield from _under_conditions(child, (*conditions, ast.unparse(test)))


def _raised(node: ast.Raise, reading: Reading) -> Iterator[Guard]:
    if not isinstance(node.exc, ast.Call) or not node.exc.args:
        return
    error, rule = reading.function.__globals__.get(ast.unparse(node.exc.func)), node.exc.args[0]
    if not inspect.isclass(error) or not issubclass(error, errors.SimulationError):
        return
    parts = rule.values if isinstance(rule, ast.JoinedStr) else [rule]
    text = "".join(reading.words(part.value if isinstance(part, ast.FormattedValue) else part) for part in parts)
    yield Guard((), text, (error.code,))


def _stated(rule: FunctionType, given: dict[str, str]) -> str:
    """The first sentence of a rule's docstring, its parameters replaced by what is passed."""
    text = inspect.cleandoc(rule.__doc__ or rule.__name__).split("\n\n")[0].replace("\n", " ")
    sentence = re.split(r"(?<=\.) (?=[A-Z(])", text)[0].removesuffix(".")
    return re.sub(r"`(\w+)`", lambda found: given.get(found[1], found[0]), sentence)


def _given(function: FunctionType, call: ast.Call, reading: Reading) -> dict[str, str]:
    names = [*inspect.signature(function).parameters]
    by_place = zip(names, call.args, strict=False)
    by_name = ((word.arg, word.value) for word in call.keywords if word.arg)
    return {name: reading.words(value) for name, value in (*by_place, *by_name)}


def _operands(call: ast.Call, reading: Reading) -> tuple[str, ...]:
    """What a call of a shared rule names: `"dst"`, `("dst", dst)`, `dst=dst`, or a parameter that holds a name."""
    values = [value.elts[0] if isinstance(value, ast.Tuple) and value.elts else value for value in call.args]
    return tuple(reading.words(value) for value in (*values, *(word.value for word in call.keywords)))


def _listed(value: Any) -> str:
    if isinstance(value, (tuple, list, set, frozenset)):
        return ", ".join(map(_listed, value))
    return str(getattr(value, "name", value))


def _called(node: ast.AST, function: FunctionType) -> FunctionType | None:
    """The function a call names, if rules may be in it."""
    if not isinstance(node, ast.Call):
        return None
    match node.func:
        case ast.Name(id=name):
            found = function.__globals__.get(name)
        case ast.Attribute(value=ast.Name(id=module), attr=name):
            home = function.__globals__.get(module)
            found = getattr(home, name, None) if isinstance(home, ModuleType) else None
        case _:
            return None
    found = inspect.unwrap(found) if callable(found) else None
    return found if isinstance(found, FunctionType) and found.__module__.startswith(READ) else None


@functools.cache
def _codes(rule: FunctionType, above: tuple[FunctionType, ...] = ()) -> tuple[str, ...]:
    """Codes of the errors that a rule raises, itself or by what it calls."""
    codes: set[str] = set()
    for node in _walk(_tree(rule)):
        if isinstance(node, ast.Raise):
            codes.update(code for guard in _raised(node, Reading(rule, {})) for code in guard.codes)
        called = _called(node, rule)
        if called is not None and called not in (rule, *above):
            codes.update(_codes(called, (*above, rule)))
    return tuple(sorted(codes))


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes, in the order of the source."""
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _walk(child)


@functools.cache
def _tree(function: FunctionType) -> ast.FunctionDef:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    tree.decorator_list = []
    return tree

"""Checkpoints are data: no call that loads one runs its code, unpickles it or downloads it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for part in ("nkimoe", "simulate", "benchmarks") for path in sorted((ROOT / part).rglob("*.py"))]
OF_EVERY_LOAD = {"trust_remote_code": False, "local_files_only": True}
OF_A_MODEL = {**OF_EVERY_LOAD, "use_safetensors": True}
NO_WEIGHTS = ("AutoConfig", "AutoTokenizer")


def wrong_loads(source: str) -> list[int]:
    """Lines of calls that load without saying all of it, or unpickle."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if isinstance(call.func, ast.Attribute) and _is_wrong(call, call.func)]


def _is_wrong(call: ast.Call, function: ast.Attribute) -> bool:
    if function.attr == "load" and ast.unparse(function.value) in ("torch", "pickle", "joblib"):
        return True
    if function.attr not in ("from_pretrained", "from_config"):
        return False
    said = {word.arg: word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)}
    demanded = OF_EVERY_LOAD if ast.unparse(function.value).split(".")[-1] in NO_WEIGHTS else OF_A_MODEL
    return any(said.get(name) is not value for name, value in demanded.items())


def test_every_call_that_loads_says_that_it_takes_data_alone():
    found = {str(path.relative_to(ROOT)): wrong_loads(path.read_text("utf-8")) for path in SOURCES}
    assert not {path: lines for path, lines in found.items() if lines}


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("AutoConfig.from_pretrained(f, trust_remote_code=False, local_files_only=True)", []),
        ("AutoConfig.from_pretrained(f, trust_remote_code=True, local_files_only=True)", [1]),
        ("AutoConfig.from_pretrained(f, **options)", [1]),
        ("transformers.AutoTokenizer.from_pretrained(f)", [1]),
        ("kind.from_pretrained(f, trust_remote_code=False, local_files_only=True)", [1]),
        ("kind.from_pretrained(f, trust_remote_code=False, local_files_only=True, use_safetensors=True)", []),
        ("kind.from_pretrained(f, trust_remote_code=False, local_files_only=True, use_safetensors=False)", [1]),
        ("a = 1\ntorch.load(f)", [2]),
        ("np.load(f)", []),
    ],
)
def test_calls_that_leave_it_open_are_found(source, lines):
    assert wrong_loads(source) == lines


def test_there_are_calls_to_check():
    assert sum("from_pretrained(" in path.read_text("utf-8") for path in SOURCES) >= 2

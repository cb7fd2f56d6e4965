"""What the repository must not contain, and what it must."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
TEXT_SUFFIXES = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".json", ".csv", ".sh", ".cfg"}
TEXT_NAMES = {"Makefile", ".ci/run", ".gitignore", ".gitattributes"}
NOT_SOURCES = {"__pycache__", "build", "dist"}

ABSOLUTE_PATH = re.compile(r"(?<![\w.~}-])/(?:work|root|home|Users)/")
PLACEHOLDERS = {"nki", "neuronx-cc", "torch-neuronx"}  # on the public index these names hold empty packages
CHANGE_HEADINGS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def text_files() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*")):
        name = path.relative_to(ROOT)
        hidden = any(part.startswith(".") for part in name.parts[:-1]) and name.parts[0] != ".ci"
        is_text = path.suffix in TEXT_SUFFIXES or name.as_posix() in TEXT_NAMES
        if is_text and path.is_file() and not hidden and not NOT_SOURCES & set(name.parts):
            yield path


def lines_with_machine_paths(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if ABSOLUTE_PATH.search(line)]


def requirement_name(requirement: str) -> str:
    name = re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def placeholder_dependencies(project: dict[str, Any]) -> list[str]:
    extras = project.get("optional-dependencies", {}).values()
    requirements = [*project.get("dependencies", []), *(line for extra in extras for line in extra)]
    return [line for line in requirements if requirement_name(line) in PLACEHOLDERS]


def unreleased_headings(changelog: str) -> list[str]:
    section = re.search(r"^## \[Unreleased\]\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    return re.findall(r"^### (.+)$", section[1], re.MULTILINE) if section else []


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    found = {str(path.relative_to(ROOT)): lines_with_machine_paths(path.read_text("utf-8")) for path in text_files()}
    assert {"pyproject.toml", "Makefile", ".ci/run"} <= found.keys()
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_no_dependency_is_one_of_the_empty_placeholder_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert placeholder_dependencies(project) == []


def test_both_packages_are_typed_as_the_classifier_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert "Typing :: Typed" in project["classifiers"]
    assert [(ROOT / package / "py.typed").is_file() for package in ("nkimoe", "simulate/nkisim")] == [True, True]


def test_every_machine_file_parses() -> None:
    files = sorted((ROOT / "simulate/nkisim/machine").rglob("*.toml"))
    assert {"trn2.toml", "trn3.toml"} <= {path.name for path in files}
    for path in files:
        assert tomllib.loads(path.read_text("utf-8")), path.name


def test_the_changelog_says_what_is_unreleased() -> None:
    headings = unreleased_headings((ROOT / "CHANGELOG.md").read_text("utf-8"))
    assert set(headings) <= CHANGE_HEADINGS
    assert headings


@pytest.mark.parametrize("folder", ["work", "root", "home", "Users"])
@pytest.mark.parametrize("text", ["open('{}')", "see {}", "file://{}", "`{}`", "PATH=/bin:{}"])
def test_an_absolute_path_is_found(folder: str, text: str) -> None:
    assert lines_with_machine_paths("fine\n" + text.format(f"/{folder}/x"))


@pytest.mark.parametrize("folder", ["work", "root", "home"])
@pytest.mark.parametrize(
    "text", ["https://example.org{}", "docs{}", "~{}", "{{tmp}}{}", "..{}", "the nki-library checkout"]
)
def test_a_relative_path_or_an_address_is_not_mistaken_for_one(folder: str, text: str) -> None:
    assert lines_with_machine_paths(text.format(f"/{folder}/x")) == []


@pytest.mark.parametrize(
    "requirement", ["nki", "NKI>=0.7", "neuronx_cc==2.*", "torch.neuronx[x]; python_version > '3'"]
)
def test_a_placeholder_is_found_however_it_is_spelled(requirement: str) -> None:
    assert placeholder_dependencies({"dependencies": ["numpy", requirement]}) == [requirement]
    assert placeholder_dependencies({"optional-dependencies": {"x": [requirement]}}) == [requirement]


@pytest.mark.parametrize("requirement", ["nkimoe[viz]", "torch>=2.4", "nki-stubs"])
def test_a_package_of_a_similar_name_is_no_placeholder(requirement: str) -> None:
    assert placeholder_dependencies({"dependencies": [requirement]}) == []


def test_only_headings_of_the_unreleased_section_count() -> None:
    assert unreleased_headings("# C\n\n## [Unreleased]\n\n### Added\n\n- a\n\n## [0.1.0]\n\n### Fixed\n") == ["Added"]
    assert unreleased_headings("# C\n\n## [0.1.0]\n\n### Added\n") == []


def test_decisions_are_numbered_one_after_the_other() -> None:
    notes = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(note.name[:4]) for note in notes] == [*range(1, len(notes) + 1)]
    for note in notes:
        assert note.read_text(encoding="utf-8").startswith(f"# {int(note.name[:4])}. "), note.name

"""Configuration objects are built the ways public kernels build them."""

from dataclasses import dataclass, field
from typing import Any

import pytest

import nkisim.nki.language as nl


@dataclass
class Sizes(nl.NKIObject):
    tokens: int
    hidden: int = 8
    names: list[str] = field(default_factory=list)
    remainder: int = field(default=0, init=False)
    label = "none"

    def __post_init__(self) -> None:
        self.remainder = self.tokens % self.hidden


@dataclass(frozen=True)
class Frozen(nl.NKIObject):
    a: int
    b: int = 2


class Plain(nl.NKIObject):
    a: int
    b: int = 2


class ByHand(nl.NKIObject):
    def __init__(self, a: int) -> None:
        self.doubled = 2 * a


def test_positional_values_follow_the_annotations_and_post_init_runs() -> None:
    sizes = Sizes(20)
    assert (sizes.tokens, sizes.hidden, sizes.names, sizes.remainder) == (20, 8, [], 4)
    assert Sizes(1).names is not sizes.names


def test_keywords_may_name_class_attributes_without_annotation() -> None:
    assert Sizes(tokens=3, label="x").label == "x"
    assert Sizes(tokens=3).label == "none"


@pytest.mark.parametrize("kind", [Frozen, Plain])
def test_a_field_left_out_stays_unset_until_it_is_read(kind: Any) -> None:
    partial = kind(b=5)
    assert partial.b == 5
    with pytest.raises(AttributeError):
        _ = partial.a
    assert (kind(1).a, kind(1).b) == (1, 2)


@pytest.mark.parametrize("kind", [Sizes, Frozen])
def test_a_dataclass_refuses_a_name_it_does_not_have(kind: Any) -> None:
    with pytest.raises(TypeError, match="no field nothing"):
        kind(nothing=1)
    assert Plain(nothing=1).nothing == 1


@pytest.mark.parametrize("kind", [Sizes, Frozen, Plain])
def test_refuses_more_values_than_fields(kind: Any) -> None:
    with pytest.raises(TypeError, match="takes"):
        kind(*range(9))


def test_an_init_written_by_hand_is_called_as_it_is() -> None:
    assert ByHand(3).doubled == 6
    with pytest.raises(TypeError):
        ByHand(b=3)  # type: ignore[call-arg]

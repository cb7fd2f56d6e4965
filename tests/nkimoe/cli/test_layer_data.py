"""The hidden states that the command line draws."""

import numpy as np
import pytest

from nkimoe.cli.layer_data import CONTEXT, _hidden_states

VOCABULARY, H = 50, 96


def drawn(ids):
    return _hidden_states(ids, VOCABULARY, H, np.random.default_rng(7))


@pytest.mark.parametrize("tokens", [1, CONTEXT, 127, 128, 129, 300])
def test_a_state_is_its_token_coloured_by_those_before_it(tokens):
    ids = np.random.default_rng(3).integers(0, VOCABULARY, tokens)
    own = np.random.default_rng(7).standard_normal((VOCABULARY, H), dtype=np.float32)[ids]
    before = np.concatenate([np.zeros((CONTEXT, H), np.float32), own])
    mixed = own + np.float32(0.5 / CONTEXT) * sum(before[CONTEXT - n : len(before) - n] for n in range(1, CONTEXT + 1))
    assert np.array_equal(drawn(ids), mixed / np.sqrt(np.mean(np.square(mixed), axis=1, keepdims=True)))


def test_equal_words_have_equal_states_only_behind_equal_words():
    ids = np.tile(np.arange(8), 40)
    states = drawn(ids)
    assert np.array_equal(states[8:16], states[136:144])
    assert not np.array_equal(states[0], states[8])

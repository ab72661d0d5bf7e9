"""Which output of several is the reward: by name, by number, or by weights."""

from __future__ import annotations

import pytest

from guerdon.errors import ConfigError
from guerdon.rewards.contract import ScoreContract
from guerdon.rewards.outputs import choose_output, output_names, parse_output

NAMES = ("helpful", "2", "1 star", "a=b,c")


@pytest.mark.parametrize(
    ("output", "weights"),
    [
        ("helpful", (1, 0, 0, 0)),
        (" helpful ", (1, 0, 0, 0)),
        ("2", (0, 1, 0, 0)),  # a name goes before a number
        ("3", (0, 0, 0, 1)),
        ("0", (1, 0, 0, 0)),
        ("a=b,c", (0, 0, 0, 1)),
        ("1 star", (0, 0, 1, 0)),
        ("0.5,0,-1,2e-1", (0.5, 0, -1, 0.2)),
        ("helpful=1, 1 star=-0.25", (1, 0, -0.25, 0)),
    ],
)
def test_an_output_is_read(output: str, weights: tuple[float, ...]) -> None:
    assert parse_output(output, NAMES) == weights


@pytest.mark.parametrize(
    "output", ["", "4", "-1", "nice", "1,2", "1,2,3,4,5", "0,0,0,0", "helpful=x", "nice=1", "nan,0,0,0", "helpful=0"]
)
def test_what_is_no_output_lists_them(output: str) -> None:
    with pytest.raises(ConfigError, match="none of the model's outputs, 0: helpful, 1: 2, 2: 1 star, 3: a=b,c. Fix: "):
        parse_output(output, NAMES)


def test_outputs_have_distinct_names() -> None:
    assert output_names({0: "LABEL_0", 1: "LABEL_1"}, 2) == ("LABEL_0", "LABEL_1")
    assert output_names({0: "same", 1: "same"}, 2) == ("output_0", "output_1")
    assert output_names({0: "only"}, 2) == ("output_0", "output_1")
    assert output_names({0: "LABEL_0"}, 1) == ("score",)


def test_another_output_forgets_the_spread_of_the_first() -> None:
    contract = ScoreContract(
        architecture="Bert", rendering="pair", pooling="native", max_length=9, ends_with_eos=False, pad_token_id=0,
        attributes=("a", "b"), weights=(1.0, 0.0), shift=(0.0, 0.0), scale=(1.0, 1.0), mean=3.0, std=2.0,
    )  # fmt: skip
    assert choose_output(contract, None) is contract
    assert choose_output(contract, "a") is contract
    other = choose_output(contract, "b")
    assert (other.weights, other.mean, other.std) == ((0.0, 1.0), 0.0, 1.0)

"""How verbs take a scorer: the command line makes the same object as Python."""

from __future__ import annotations

from dataclasses import fields

import pytest
import tyro
from tyro.conf import OmitArgPrefixes

from guerdon.cli.main import main
from guerdon.cli.scorers import Model, ScorerOptions, TrustedScorerOptions
from guerdon.rewards.load import ScorerConfig


def plain(model: Model, /, scorer: OmitArgPrefixes[ScorerOptions] = ScorerOptions()) -> ScorerConfig:  # noqa: B008
    return scorer.named(model)


def beside_a_policy(
    model: Model,
    /,
    scorer: OmitArgPrefixes[TrustedScorerOptions] = TrustedScorerOptions(),  # noqa: B008
) -> ScorerConfig:
    return scorer.named(model)


OPTIONS = ["--device", "cuda:1", "--dtype", "bfloat16", "--overlong", "error", "--unsafe-sandbox"]


def test_all_options_reach_the_config() -> None:
    found = tyro.cli(plain, args=["./model", *OPTIONS, "--trust-remote-code"])
    assert found == ScorerConfig(
        name="./model",
        device="cuda:1",
        dtype="bfloat16",
        overlong="error",
        trust_remote_code=True,
        unsafe_sandbox=True,
    )
    assert type(found) is ScorerConfig
    assert tyro.cli(plain, args=["longest"]) == ScorerConfig(name="longest")


def test_trust_is_the_policys_where_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert tyro.cli(beside_a_policy, args=["./model", *OPTIONS]).device == "cuda:1"
    with pytest.raises(SystemExit):
        tyro.cli(beside_a_policy, args=["./model", "--trust-remote-code"])
    assert "--trust-remote-code" in capsys.readouterr().err


@pytest.mark.parametrize(
    "verb", ["score", "evaluate", "doctor", "optimize best-of-n", "optimize weighted", "optimize rl"]
)
def test_every_verb_that_scores_has_every_option(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*verb.split(), "--help"])
    printed = capsys.readouterr().out
    for field in fields(ScorerConfig):
        if field.name != "name":
            assert f"--{field.name.replace('_', '-')}" in printed


def test_what_does_not_fit_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "longest", "starter", "--device", "the first"]) == 2
    assert "--device must be like cpu, cuda or cuda:1, got 'the first'" in capsys.readouterr().err

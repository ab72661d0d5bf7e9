"""The whole advice on tiny models: what is compared, what is written, and that the command line does the same."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

import guerdon
from guerdon.cli.main import main
from guerdon.data.write import write_rows
from guerdon.errors import ConfigError
from guerdon.evaluate.advise import affordable_rows
from guerdon.evaluate.advise_config import AdviseConfig
from guerdon.types import Comparison


@pytest.fixture
def rows() -> list[Comparison]:
    """The polite response was preferred, whichever is longer."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(96):
        fillers = [" ".join(["the egg"] * int(count)) for count in rng.integers(1, 6, size=2)]
        rows.append(
            Comparison(
                prompt=f"How do I boil egg {number // 2}?",
                chosen=f"{number} Put it in, please {fillers[0]}",
                rejected=f"{number} I do not know that {fillers[1]}",
            )
        )
    return rows


@pytest.fixture
def config(tiny_bert: str, tiny_llama: str) -> AdviseConfig:
    return AdviseConfig(encoder=tiny_bert, policy=tiny_llama, time=2.0)


@pytest.mark.slow
def test_every_kind_is_compared_and_the_best_is_recommended(
    rows: list[Comparison], config: AdviseConfig, tmp_path: Path
) -> None:
    stages: list[str] = []
    advice = guerdon.advise_reward(rows, tmp_path, config, on_stage=stages.append)
    states = {one.name: one.state for one in advice.candidates}
    assert len(states) == 11
    for name in ("longest", "shortest", "cosine", "surface", "tfidf", "embedding", "blend"):
        assert states[name] == "cross-validated"
    for name in ("fine-tuned", "lora", "likelihood", "decoder"):
        assert states[name] == "estimated", advice.candidate(name).reason
        assert 0 < advice.candidate(name).rows_learnt < len(rows)
    assert advice.candidate("tfidf").accuracy.point == 1
    assert abs(advice.candidate("longest").accuracy.point - 0.5) < 0.2
    assert advice.candidate("longest").length_correlation > 0.99
    assert advice.candidate("blend").gains[0].more == 30
    assert advice.candidate(advice.recommended).accuracy.point > 0.95
    assert advice.trustworthy
    assert "reading tfidf" in stages
    assert "decoder on" in " ".join(stages)

    saved = json.loads((tmp_path / "advise.json").read_text(encoding="utf-8"))
    assert saved["recommended"] == advice.recommended
    assert saved["candidates"][0]["accuracy"]["low"] == advice.candidates[0].accuracy.low
    page = (tmp_path / "advise.html").read_text(encoding="utf-8")
    for text in (advice.headline, "decoder", "estimated", "More data", "<svg"):
        assert text in page


def test_command_says_what_the_function_finds(
    rows: list[Comparison],
    config: AdviseConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "polite.jsonl"
    write_rows(rows, data)
    options = ["--encoder", config.encoder, "--policy", config.policy, "--time", "0.0001"]
    assert main(["advise", str(data), "--out", str(tmp_path / "advise"), *options]) == 0
    printed = capsys.readouterr()
    assert "decoder was not run: no time" in printed.out
    assert "would take it at least" in printed.out
    assert "cross-validating" in printed.err
    found = json.loads((tmp_path / "advise" / "advise.json").read_text(encoding="utf-8"))
    same = guerdon.advise_reward(
        str(data), None, AdviseConfig(encoder=config.encoder, policy=config.policy, time=0.0001)
    )
    assert found["headline"] == same.headline
    assert [one["accuracy"]["point"] for one in found["candidates"][:7]] == [
        one.accuracy.point for one in same.candidates[:7]
    ]
    ((_, command),) = same.commands
    assert command in printed.out
    program, *arguments = shlex.split(command)
    assert program == "guerdon"
    assert main(arguments) == 0, "it works as it is printed"
    rewards = guerdon.load_scorer("my-reward").score(["How?"] * 2, [rows[0].chosen, rows[0].rejected])
    assert rewards[0] > rewards[1]


def test_no_more_groups_are_read_than_fit(rows: list[Comparison], tiny_bert: str) -> None:
    many = [
        Comparison(prompt=f"p{i // 2}", chosen=f"yes {i}", rejected=f"no {i}", group=f"g{i // 2}") for i in range(600)
    ]
    kept = affordable_rows(many, AdviseConfig(encoder=tiny_bert, time=0.1))
    assert len(kept) < 300
    assert affordable_rows(rows, AdviseConfig(encoder=tiny_bert)) == rows


def test_time_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="--time"):
        AdviseConfig(time=0)


def test_encoder_that_cannot_read_the_language_is_not_fine_tuned(tiny_bert: str, tiny_llama: str) -> None:
    rows = [
        Comparison(prompt=f"问 {i}", chosen="ሰላም ነው" + "እ" * (i % 5), rejected="አይደለም" + "ለ" * (i % 3))
        for i in range(24)
    ]
    advice = guerdon.advise_reward(rows, None, AdviseConfig(encoder=tiny_bert, policy=tiny_llama, time=0.01))
    assert "cannot read 100% of the responses" in advice.candidate("lora").reason
    assert "cannot read" not in advice.candidate("decoder").reason
    assert not advice.candidate("embedding").accuracy.low > 0.5

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from guerdon.cli.main import main
from guerdon.data.write import write_rows
from guerdon.rewards.blend import Blend
from guerdon.rewards.load import load_scorer
from guerdon.train.fit_config import FitConfig
from guerdon.train.fit_run import fit_reward
from guerdon.types import Comparison, Rating

MEMBERS = ("longest", "shortest", "surface", "tfidf")


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Polite responses were preferred, and most often questions."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(60):
        polite = "thank you " + "so " * rng.integers(1, 9) + ("much?" if rng.random() < 0.8 else "much.")
        rude = "go away " + "so " * rng.integers(1, 9) + ("much?" if rng.random() < 0.2 else "much.")
        better, worse = (polite, rude) if rng.random() < 0.9 else (rude, polite)
        rows.append(Comparison(prompt=f"p{i}", chosen=better, rejected=worse))
    write_rows(rows, tmp_path / "polite.jsonl")
    return str(tmp_path / "polite.jsonl")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_table_shows_every_member_and_the_blend_and_the_function_writes_the_same_files(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["fit", data, "--members", *MEMBERS]) == 0
    shown = capsys.readouterr()
    for name in (*MEMBERS, "blend"):
        assert f"│ {name}" in shown.out
    assert "60 pairs of 60 groups" in shown.out
    assert "handed over: " in shown.out
    assert "tfidf: " in shown.out
    assert "reward: runs/polite" in shown.out
    assert "cross-validating ..." in shown.err

    fitted = fit_reward(data, tmp_path / "by-function", FitConfig(members=MEMBERS))
    assert contents(tmp_path / "by-function") == contents(tmp_path / "runs" / "polite")
    by_name = {one.name: one for one in fitted.measured()}
    assert 0.75 < by_name["blend"].agreement.point < 1
    assert by_name["blend"].agreement.low < by_name["blend"].agreement.point < by_name["blend"].agreement.high
    assert by_name["longest"].agreement.point == pytest.approx(1 - by_name["shortest"].agreement.point)
    assert by_name["longest"].length_balanced.point == 0.5
    assert f"{by_name['tfidf'].agreement.point:.3f} [" in shown.out


def test_what_each_member_adds_is_written_beside_the_reward(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", data, "--members", "surface", "tfidf", "--out", str(tmp_path / "model")]) == 0
    out = tmp_path / "scores.jsonl"
    assert main(["score", str(tmp_path / "model"), data, "--contributions", "--out", str(out)]) == 0
    blend = load_scorer(tmp_path / "model")
    assert isinstance(blend, Blend)
    for line in out.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for held in ("chosen", "rejected"):
            parts = row[f"reward_{tmp_path.name}_model_{held}_contributions"]
            assert set(parts) == set(blend.members)
            reward = row[f"reward_{tmp_path.name}_model_{held}"]
            assert sum(parts.values()) + blend.shift == pytest.approx(reward, abs=1e-5)
            assert reward == pytest.approx(float(blend.score([row["prompt"]], [row[held]])[0]), abs=1e-5)
    assert main(["score", "longest", data, "--contributions", "--out", str(out)]) == 2
    assert "longest is no blend" in capsys.readouterr().err


def test_ratings_are_measured_by_rank_correlation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [Rating(prompt=f"p{i}", response="so " * (1 + i % 7), scores={"score": 10.0 * (i % 7)}) for i in range(60)]
    write_rows(rows, tmp_path / "rated.jsonl")
    options = ["--members", "longest", "shortest", "surface", "--out", str(tmp_path / "model")]
    assert main(["fit", str(tmp_path / "rated.jsonl"), *options]) == 0
    shown = capsys.readouterr().out
    assert "60 ratings of 60 groups" in shown
    assert "Spearman" in shown
    assert "length-balanced" not in shown
    scores = load_scorer(tmp_path / "model").score(["p0", "p6"], ["so ", "so " * 7])
    assert scores[0] < 20
    assert scores[1] > 40


def test_faults_of_options_are_told_together(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", data, "--members", "tfidf", "tfidf", f"tfidf:{data}", "--seed", "-1"]) == 2
    error = capsys.readouterr().err
    assert "--members names tfidf twice" in error
    assert f"--members names tfidf:{data}, of which nobody knows" in error
    assert "--seed must be 0 or more" in error

"""The examples run as they stand; only the models' names are replaced by ones that are there."""

from __future__ import annotations

import json
import operator
import random
import runpy
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str, **replaced: Any) -> SimpleNamespace:
    """An example as a module, with some of its names replaced."""
    found = runpy.run_path(str(EXAMPLES / name), run_name="example")
    found["main"].__globals__.update(replaced)
    return SimpleNamespace(**found)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "data.jsonl"
    rows = [
        {"prompt": f"boil egg {i % 8}", "chosen": f"polite answer {'good ' * (i % 5)}", "rejected": "rude water " * 3}
        for i in range(48)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_reward_with_transformers(tiny_bert, data, tmp_path, capsys) -> None:
    out = str(tmp_path / "model")
    example("reward_with_transformers.py", MODEL=str(tiny_bert), DATA=str(data), OUT=out).main()
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "by Transformers" in line]
    assert len(lines) == 2
    for line in lines:
        assert float(line[0]) == pytest.approx(float(line[3]), abs=2e-4)


@pytest.mark.filterwarnings("ignore")  # RLlib's and Tune's own
def test_reward_with_rllib(tiny_bert, data, tmp_path, capsys) -> None:
    pytest.importorskip("ray.rllib")
    out = str(tmp_path / "reward")
    module = example("reward_with_rllib.py", ENCODER=str(tiny_bert))
    assert module.main([str(data), "--iterations", "2", "--out", out]) > 0.9
    assert "the longer response" in capsys.readouterr().out


def test_process_reward(tmp_path, capsys) -> None:
    arguments = ["--problems", "8", "--test-problems", "4", "--out", str(tmp_path / "out")]
    found = example("process_reward.py").main(arguments)
    names = ("step_auc", "first_error", "no_error", "best of 8 by min", "best of 8 by the outcome reward")
    assert {f"{kinds}: {name}" for kinds in ("seen kinds", "unseen kinds") for name in names} <= found.keys()
    assert all(0 <= value <= 1 for value in found.values())
    assert "unseen kinds: best of 8 by product" in capsys.readouterr().out


def test_unseen_kinds_have_operations_and_things_of_their_own() -> None:
    module = example("process_reward.py")
    operations = [{tuple(one.sign for one in kind.clauses) for kind in kinds} for kinds in (module.SEEN, module.UNSEEN)]
    things = [
        {word for kind in kinds for pair in kind.things for word in pair} for kinds in (module.SEEN, module.UNSEEN)
    ]
    assert (len(operations[0]), len(operations[1])) == (48, 15)
    assert not operations[0] & operations[1]
    assert not things[0] & things[1]


def test_made_problems_are_labelled_by_what_was_exchanged() -> None:
    module = example("process_reward.py")
    rng = random.Random(0)
    for kind in (*module.SEEN[::16], *module.UNSEEN[::8]):
        problem = module.make_problem(kind, rng)
        assert all(str(number) in problem.question for number in problem.numbers.values())
        right = problem.solve()
        assert problem.labels(right) == (1.0,) * len(right)
        rows = module.solutions(problem, 1, 2, rng)
        assert len({row.steps for row in rows}) == len(rows) == 3
        for row in rows[1:]:
            at = row.labels.index(0.0)
            assert row.labels == (*[1.0] * at, 0.0, *[None] * (len(right) - at - 1))
            for step in row.steps:  # the slip is in what is worked out, and never in the working out
                left, sign, other, _, result = step.partition(": ")[2].split()
                assert Fraction(int(result)) == SIGNS[sign](Fraction(int(left)), Fraction(int(other)))

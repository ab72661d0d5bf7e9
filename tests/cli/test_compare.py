from __future__ import annotations

import json

import guerdon
from guerdon.cli.main import main


def test_command_and_function_write_the_same(tmp_path, capsys):
    rows = [
        {"prompt": f"p{i}", "chosen": "good " * (1 + 4 * (i % 4 > 0)), "rejected": "bad bad", "subset": f"s{i % 2}"}
        for i in range(20)
    ]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    out, page = tmp_path / "out.json", tmp_path / "page.html"
    options = ["--json", str(out), "--page", str(page), "--resamples", "100"]
    assert main(["compare", "longest", "shortest", str(data), *options]) == 0
    text = capsys.readouterr().out
    assert "longest agrees better with people than shortest: accuracy +0.5" in text
    assert "TF-IDF" in text
    systems = {name: guerdon.load_scorer(name) for name in ("longest", "shortest")}
    found = guerdon.compare_rewards(systems, guerdon.load_rows(data), resamples=100)
    found.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text(encoding="utf-8") == out.read_text(encoding="utf-8")
    assert "Two at a time" in page.read_text(encoding="utf-8")


def test_what_is_missing_is_said_before_anything_is_loaded(tmp_path, capsys):
    assert main(["compare", "longest", str(tmp_path / "none.jsonl")]) == 2
    assert "two models or more and then the data are needed" in capsys.readouterr().err

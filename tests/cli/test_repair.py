from __future__ import annotations

import json

import guerdon
from guerdon.cli.main import main


def test_command_and_function_write_the_same(tmp_path, capsys):
    rows = [
        {"prompt": f"p{i}", "chosen": "good " * (1 + i % 5), "rejected": "bad " * (1 + (i * 7) % 4)} for i in range(120)
    ]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert main(["repair", "longest", str(data), "--out", str(tmp_path / "a"), "--flip-pairs", "5"]) == 0
    text = capsys.readouterr().out
    assert "longest, repaired (people)" in text
    assert "People preferred the longer response in" in text
    guerdon.repair_reward("longest", data, tmp_path / "b", guerdon.RepairConfig(flip_pairs=5))
    assert "People preferred the longer response in" in (tmp_path / "a" / "repair.html").read_text(encoding="utf-8")
    for name in ("guerdon.json", "repair.json", "repair.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()

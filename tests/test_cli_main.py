from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys

import pytest

import guerdon
from guerdon.cli.main import VERBS, find_verb, main, usage

HEAVY = {"torch", "transformers", "sklearn", "scipy", "pyarrow", "matplotlib", "pandas", "datasets", "ray"}
"""What no `--help` may import: each takes from tenths of a second to seconds."""


def imported(*command: str) -> set[str]:
    """The top-level modules that `python COMMAND` imports."""
    code = (
        "import atexit, json, runpy, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})), file=sys.stderr))\n"
        "sys.argv = ['guerdon', *sys.argv[1:]]\n"
    )
    run = subprocess.run([sys.executable, "-c", code + command[0], *command[1:]], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stderr.splitlines()[-1]))


RUN = "runpy.run_module('guerdon', run_name='__main__')"


def test_importing_guerdon_imports_nothing_heavy() -> None:
    assert not imported("import guerdon") & (HEAVY | {"numpy", "tyro", "rich"})


def test_help_imports_nothing_heavy() -> None:
    assert not imported(RUN, "--help") & (HEAVY | {"numpy", "tyro", "rich"})


@pytest.mark.parametrize("verb", VERBS)
def test_verb_help_imports_nothing_heavy(verb: str) -> None:
    light = {"numpy"} if verb.startswith("data ") else set()
    assert not imported(RUN, *verb.split(), "--help") & (HEAVY | light)


@pytest.mark.parametrize("verb", VERBS)
def test_verb_is_a_documented_function(verb: str) -> None:
    module, name = VERBS[verb].command.split(":")
    function = getattr(importlib.import_module(module), name)
    assert inspect.isfunction(function)
    assert inspect.getdoc(function)


@pytest.mark.parametrize("verb", VERBS)
def test_verb_help_names_the_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*verb.split(), "--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert f"guerdon {verb}" in printed
    if not verb.startswith(("worlds ", "collect invite")):  # which read games, or no data
        assert "--question" in printed, "every verb that reads data can be told what an annotation export says"


@pytest.mark.parametrize("args", [[], ["-h"], ["--help"], ["help"]])
def test_help_lists_every_verb(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 0
    out = capsys.readouterr().out
    assert out.rstrip("\n") == usage()
    for verb, (_, text, _) in VERBS.items():
        assert f"  {verb} " in out
        assert text in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"guerdon {guerdon.__version__}\n"


@pytest.mark.parametrize(
    ("args", "hint"),
    [(["trian"], "guerdon --help"), (["data", "chekc"], "data check"), (["data", "chekc", "x"], "data check")],
)
def test_unknown_verb_exits_2_with_a_hint(args: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert hint in captured.err


def test_unknown_option_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["data", "check", "--no-such-option"])
    assert caught.value.code == 2


def test_find_verb_prefers_two_words() -> None:
    assert find_verb(["data", "check", "file"]) == ("data check", ["file"])
    assert find_verb(["train", "data.jsonl"]) == ("train", ["data.jsonl"])
    assert find_verb(["data"]) is None
    assert find_verb([]) is None

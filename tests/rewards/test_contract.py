"""The contract survives its file, and a file that cannot be trusted is refused with its reason."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guerdon.errors import ContractError
from guerdon.rewards.contract import ScoreContract
from guerdon.rewards.saved import FILE_NAME, read_card, write_card

CONTRACT = ScoreContract(
    architecture="BertForSequenceClassification",
    rendering="pair",
    pooling="mean",
    max_length=128,
    ends_with_eos=False,
    pad_token_id=0,
    attributes=("helpfulness", "有用"),
    weights=(0.75, 0.25),
    shift=(2.0, 0.0),
    scale=(1.5, 1.0),
    data={"rows": 3},
)


def test_a_contract_comes_back_from_its_file(tmp_path: Path) -> None:
    write_card(tmp_path, "transformer", {"contract": dataclasses.asdict(CONTRACT), "training": {}})
    assert ScoreContract.from_dict(read_card(tmp_path)["contract"]) == CONTRACT
    assert "有用" in (tmp_path / FILE_NAME).read_text(encoding="utf-8"), "the file is for people to read"


def test_all_faults_of_a_contract_are_named_at_once() -> None:
    with pytest.raises(ContractError) as caught:
        replace(CONTRACT, weights=(1.0,), scale=(1.0,), max_length=2, temperature=0.0, template_date="26 Jul 2024")
    for part in ("weights has 1 values for 2 attributes", "scale has 1", "max_length", "temperature", "YYYY-MM-DD"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"), [("pooling", "cls"), ("rendering", "chatml"), ("padding_side", "left"), ("dtype", "float16")]
)
def test_a_word_that_the_format_does_not_have_is_refused(name: str, value: str) -> None:
    with pytest.raises(ContractError, match=f"{name} must be one of .*, got '{value}'"):
        ScoreContract.from_dict(dataclasses.asdict(CONTRACT) | {name: value})


def test_the_page_of_the_format_has_every_field_and_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs" / "contract.md").read_text(encoding="utf-8")
    table = page[page.index("| field |") :].split("\n\n")[0]
    told = dict(re.findall(r"^\| `(\w+)` \| (?:`([^`]*)`)? ?\|", table, re.M))
    fields = {}
    for field in dataclasses.fields(ScoreContract):
        default = {} if field.default is dataclasses.MISSING else field.default
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        fields[field.name] = "" if required else json.dumps(default)
    assert told == fields
    assert list(told) == list(fields), "in the order of the file"


def test_the_example_of_the_page_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "contract.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```json\n(.*?)^```$", page, re.M | re.S)
    (tmp_path / FILE_NAME).write_text(example, encoding="utf-8")
    contract = ScoreContract.from_dict(read_card(tmp_path)["contract"])
    assert contract.attributes == ("helpfulness", "verbosity")


@pytest.mark.parametrize("attributes", [(), ("a", "a")])
def test_attributes_are_distinct_names(attributes: tuple[str, ...]) -> None:
    with pytest.raises(ContractError, match="distinct names"):
        replace(CONTRACT, attributes=attributes, weights=(1.0,) * len(attributes))


def test_unknown_and_missing_fields_are_refused() -> None:
    with pytest.raises(ContractError, match="unknown field.*gravity.*newer version"):
        ScoreContract.from_dict(dataclasses.asdict(CONTRACT) | {"gravity": 9.81})
    values = dataclasses.asdict(CONTRACT)
    del values["pooling"]
    with pytest.raises(ContractError, match="pooling"):
        ScoreContract.from_dict(values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, f"has no {FILE_NAME}"),
        ("{", "cannot be read"),
        ("[]", "format 'list'"),
        ({"format": 99, "kind": "ensemble"}, "format 99.*upgrade"),
        ({"format": 1}, "kind None"),
        ({"format": 1, "kind": "oracle"}, "kind 'oracle'"),
        ({"format": 1, "kind": "transformer", "training": {}}, "lacks contract"),
        ({"format": 1, "kind": "ensemble"}, "lacks k, members"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / FILE_NAME).write_text(text, encoding="utf-8")
    with pytest.raises(ContractError, match=message):
        read_card(tmp_path)

"""Options that do not fit are named, all at once, by the flags that set them."""

from __future__ import annotations

from dataclasses import fields

import pytest

from guerdon.errors import ConfigError
from guerdon.train.train_config import TrainConfig


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig(
            epochs=0, label_smoothing=0.5, validation=0, early_stopping_patience=2, ensemble_size=3, merge_lora=True
        )  # fmt: skip
    for part in (
        "--epochs must be above 0, got 0",
        "--label-smoothing must be below 0.5",
        "--early-stopping-patience needs a held-out share",
        "--merge-lora does not go with --ensemble-size",
    ):
        assert part in str(caught.value)


def test_every_option_is_documented() -> None:
    import ast
    import inspect

    body = ast.parse(inspect.getsource(TrainConfig)).body[0]
    assert isinstance(body, ast.ClassDef)
    documented = {
        before.target.id
        for before, after in zip(body.body, body.body[1:], strict=False)
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name) and isinstance(after, ast.Expr)
    }
    assert documented == {field.name for field in fields(TrainConfig)}

"""The hub is out of reach in tests, and that is what is tested: it is noticed once, and said in one message."""

from __future__ import annotations

import os
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import constants, errors

from guerdon import hf, hub, load_scorer
from guerdon.errors import ModelError
from guerdon.models import local_folder, resolve
from guerdon.rewards.transformer import TransformerReward
from hub_cache import in_hub_cache


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has asked the hub yet, and where it should be there is nothing."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub, "_asked", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")


@pytest.mark.usefixtures("unasked")
def test_offline_is_noticed_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    head = httpx2.Client.head
    monkeypatch.setattr(
        httpx2.Client, "head", lambda self, url, **options: asked.append(url) or head(self, url, **options)
    )
    for name in ("owner/one", "owner/two"):
        with pytest.raises(ModelError, match=f"there is no model '{name}': no such folder, and the hub's cache does"):
            load_scorer(name)
        with pytest.raises(ModelError, match=f"cannot load the policy '{name}': there is no model"):
            hf.load_language_model(name, None, False)  # type: ignore[arg-type]
    assert asked == ["http://127.0.0.1:9"]
    assert caplog.text.count("cannot be reached") == 1
    assert "Retrying" not in caplog.text
    assert os.environ["HF_HUB_OFFLINE"] == "1", "for processes that are started from here"


def test_a_name_that_can_be_no_model_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hub, "is_offline", lambda: pytest.fail("the hub is asked"))
    (tmp_path / "helpful").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r'no model "helpfull".*Did you mean helpful\?'):
        load_scorer("helpfull")
    with pytest.raises(ModelError, match=r'no model "longst".*Did you mean longest\?.*one of minilm, smollm2, longest'):
        load_scorer("longst")
    assert caplog.text == ""


def test_a_model_in_the_cache_is_read_from_there(
    tiny_bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Guerdon model too, whose contract would not be seen by its name alone."""
    reward = TransformerReward.create(tiny_bert, pooling="mean")
    reward.save(tmp_path / "mine")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    in_hub_cache(str(tmp_path / "mine"), "owner/mine", tmp_path / "cache")
    in_hub_cache(tiny_bert, "gpt2", tmp_path / "cache")
    found = load_scorer("owner/mine")
    assert isinstance(found, TransformerReward)
    assert found.contract.pooling == "mean"
    assert resolve("gpt2") == "gpt2", "a name without an owner, which the cache holds"
    assert (local_folder("gpt2") / "config.json").is_file()


class Response:
    """What an error of the hub wants to know of an answer."""

    status_code, headers, request, text = 404, httpx2.Headers(), None, ""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            errors.GatedRepoError("403", response=Response()),
            "is gated. Fix: ask for access at https://huggingface.co/a/b",
        ),  # type: ignore[arg-type]
        (errors.RepositoryNotFoundError("404", response=Response()), "the hub has none of that name, or a private one"),  # type: ignore[arg-type]
        (errors.RevisionNotFoundError("404", response=Response()), "not the revision"),  # type: ignore[arg-type]
        (errors.LocalEntryNotFoundError("no"), "holds only a part of a/b"),
        (errors.OfflineModeIsEnabled("no"), "holds only a part of a/b"),
        (ValueError("a layer"), ""),
    ],
)
def test_an_error_of_the_hub_is_one_message_however_deep_it_lies(error: Exception, message: str) -> None:
    try:
        try:
            raise error
        except Exception as inner:
            raise OSError("a long text about connections") from inner
    except OSError as outer:
        found = hub.hub_fault("a/b", outer)
    assert message in found
    assert bool(found) == bool(message)

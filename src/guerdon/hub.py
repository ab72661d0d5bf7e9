"""The Hugging Face hub: whether it can be reached, which is found out once, and its errors in one message each."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from guerdon.errors import ModelError

logger = logging.getLogger(__name__)

_TIMEOUT = 10.0
"""Seconds within which the hub must answer at all; what it is asked for may take longer."""
_MODEL_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "*.tiktoken", "*.py"]
"""What a model is made of: no pickles, no copies for other libraries."""

_lock = threading.Lock()
_asked = False


def is_offline() -> bool:
    """Whether the hub is out of reach: `HF_HUB_OFFLINE` is set, or it did not answer when it was first asked.

    It is asked once in a process. Without an answer, everything that uses the hub (Transformers, datasets) is told, and
    tries no more: each would try six times for half a minute otherwise.
    """
    from huggingface_hub import constants

    global _asked
    with _lock:
        if constants.HF_HUB_OFFLINE or _asked:
            return bool(constants.HF_HUB_OFFLINE)
        _asked = True
        import httpx2
        from huggingface_hub import get_session

        try:
            get_session().head(constants.ENDPOINT, timeout=_TIMEOUT)
        except httpx2.TransportError as error:
            constants.HF_HUB_OFFLINE = True
            os.environ["HF_HUB_OFFLINE"] = "1"  # for processes that are started from here
            logger.warning(
                "%s cannot be reached (%s): only what lies in the hub's cache is used", constants.ENDPOINT, error
            )
        return bool(constants.HF_HUB_OFFLINE)


def in_cache(name: str) -> bool:
    """Whether the hub's cache on this machine holds files of a model."""
    from huggingface_hub import constants

    snapshots = Path(constants.HF_HUB_CACHE) / ("models--" + name.replace("/", "--")) / "snapshots"
    return snapshots.is_dir() and any(snapshots.iterdir())


def has_file(name: str, file: str) -> bool:
    """Whether a hub model has a file, as far as it can be told: loading the model says what is wrong with its name."""
    from huggingface_hub import file_exists, try_to_load_from_cache

    if in_cache(name) and isinstance(try_to_load_from_cache(name, file), str):
        return True
    try:
        return not is_offline() and file_exists(name, file)
    except Exception:  # a dozen kinds
        return False


def require_model(name: str) -> None:
    """Raises ModelError at once where a hub model can be had neither from the hub nor from its cache."""
    if is_offline() and not in_cache(name):
        raise ModelError(
            f"there is no model {name!r}: no such folder, and the hub's cache does not hold it, which is all there is "
            "without the hub (it cannot be reached, or HF_HUB_OFFLINE is set). Fix: check the name, or load the model "
            "once where the hub can be reached"
        )


def snapshot(name: str) -> Path:
    """The folder in the hub's cache that holds a model, which is loaded if need be.

    Only what models are read from is loaded: configuration, tokenizer, safetensors, code. Subfolders are loaded where a
    `guerdon.json` says that they belong to it.

    Raises:
        ModelError: it cannot be had, or its weights are pickled.
    """
    require_model(name)
    from huggingface_hub import HfApi, snapshot_download

    try:
        if is_offline():
            return Path(snapshot_download(name, local_files_only=True))
        files = HfApi().list_repo_files(name)
        own = "guerdon.json" in files
        if not any(file.endswith(".safetensors") for file in files) and not own:
            raise ModelError(f"{name} has no weights as safetensors; a model is never unpickled here. {CONVERT}")
        ignored = ["consolidated*"] if own else ["*/*", "consolidated*"]
        return Path(snapshot_download(name, allow_patterns=_MODEL_FILES, ignore_patterns=ignored))
    except ModelError:
        raise
    except Exception as error:  # a dozen kinds
        why = hub_fault(name, error) or f"{name} cannot be loaded from the hub: {one_line(error)}"
        raise ModelError(why) from error


CONVERT = (
    "Fix: if you trust its origin, convert it once: "
    'AutoModelForSequenceClassification.from_pretrained("MODEL").save_pretrained("FOLDER") writes safetensors'
)
"""What to do with a pickled model."""


def hub_fault(name: str, error: BaseException) -> str:
    """What the hub has against a name, as one message; empty where an error is not the hub's."""
    from huggingface_hub import errors

    for cause in _causes(error):
        if isinstance(cause, errors.GatedRepoError):
            return (
                f"{name} is gated. Fix: ask for access at https://huggingface.co/{name}, then log in here "
                "(hf auth login)"
            )
        if isinstance(cause, errors.RepositoryNotFoundError):
            return (
                f"there is no model {name!r}: no such folder, and the hub has none of that name, or a private one. "
                "Fix: check the name; for a private model log in (hf auth login)"
            )
        if isinstance(cause, errors.RevisionNotFoundError):
            return f"the hub has {name}, but not the revision that was asked for"
        if isinstance(cause, errors.OfflineModeIsEnabled | errors.LocalEntryNotFoundError):
            return (
                f"the hub's cache holds only a part of {name}, and the hub cannot be reached, or HF_HUB_OFFLINE is "
                "set. Fix: load it once where the hub can be reached"
            )
    return ""


def one_line(error: BaseException) -> str:
    """The text of an error, or its kind where it has none, on one line of bounded length."""
    text = str(error).strip() or type(error).__name__
    return " ".join(text.split())[:300]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it came from."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__

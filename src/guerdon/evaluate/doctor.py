"""Whether a reward can be relied on: the same score however it is asked, by whoever reads the folder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from guerdon.data.candidates import all_candidates
from guerdon.data.data_options import ColumnOptions
from guerdon.errors import ConfigError, ContractError, DataError
from guerdon.evaluate.health.judging import JUDGE_ROWS, JudgedBeside
from guerdon.evaluate.health.patient import CheckRow, ModelPatient, ScorerPatient, Texts, Verdict
from guerdon.models import resolve
from guerdon.rewards.adapter_base import portable_base
from guerdon.rewards.contract import ScoreContract
from guerdon.rewards.load import ScorerConfig
from guerdon.rewards.saved import FILE_NAME, write_card
from guerdon.rewards.scoring import parts_of
from guerdon.types import Scorer

if TYPE_CHECKING:
    from guerdon.rewards.transformer import TransformerReward

SAMPLE = 24
"""Responses that are scored again and again."""
_ROWS_READ = 4096
"""Rows among which the sample is chosen."""
TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2}
"""Largest difference of two scores that are the same, for scores of about 1; larger scores may differ by more."""

_NO_CONTRACT = (
    "Put guerdon.json and the weights of one and the same model into the folder; or take guerdon.json away, and adopt "
    "the model anew (guerdon doctor MODEL --adopt)"
)
"""The mend for a contract that its model does not keep."""


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    """`fail`: scores cannot be relied on, here or in other tools that read the folder; `warning`: they can, but there
    is something to know; `not applicable`: there is nothing of the kind to look at."""
    message: str
    """What was found, in plain words."""
    difference: float | None = None
    """The largest difference of two scores of one text, where scores were compared."""
    mend: str = ""
    """What to do; empty where there is nothing to do."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `check_reward_model` found."""

    model: str
    contracts: dict[str, ScoreContract]
    """Part -> its contract; a model alone is one, under the empty name. Empty without a contract."""
    checks: tuple[DoctorCheck, ...]
    adopted: Path | None = None
    """The contract file that was written beside the weights."""

    @property
    def faults(self) -> tuple[DoctorCheck, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.verdict == "fail")

    def sentence(self) -> str:
        """How many checks failed, and which."""
        looked = sum(check.verdict != "not applicable" for check in self.checks)
        names = ", ".join(check.name for check in self.faults)
        return f"{len(self.faults)} of {looked} checks failed{names and ': '}{names}."

    def to_dict(self) -> dict[str, Any]:
        """As values that JSON has."""
        return {
            "model": self.model,
            "contracts": {name: asdict(contract) for name, contract in self.contracts.items()},
            "checks": [asdict(check) for check in self.checks],
            "adopted": str(self.adopted) if self.adopted else None,
        }


def check_reward_model(
    model: str | ScorerConfig, *, data: str = "starter:test", adopt: bool = False, **columns: Unpack[ColumnOptions]
) -> Diagnosis:
    """Checks that a reward gives a text the same score however it is asked, and that it keeps its contract.

    Example:
        >>> for check in guerdon.check_reward_model("runs/helpful").faults:
        ...     print(check.message)

    Args:
        model: any scorer, or a `Comparer` that `module:object` names; a trained model, of Guerdon or of another
            trainer, is looked at more closely.
        data: where the sample of texts is read: any source that `guerdon score` takes.
        adopt: write the contract that was inferred for a model of other origin beside its weights.
        columns: as for `guerdon.data.read.iter_rows`.

    Returns:
        Every check of `docs/doctor.md`. A model that does not keep its contract, or lacks a part, fails at once, and
        nothing else is then checked.

    Raises:
        ModelError: the model cannot be found or loaded.
        DataError: there are no responses in the data.
        ConfigError: there is nothing to adopt.
        OutputError: the contract cannot be written.
    """
    config = ScorerConfig(name=model) if isinstance(model, str) else model
    folder = Path(resolve(config.name)) if adopt else None
    if folder is not None and (not folder.is_dir() or (folder / FILE_NAME).exists()):
        what = f"has a {FILE_NAME} already" if folder.is_dir() else "is not a folder on this machine"
        raise ConfigError(
            f"--adopt writes a contract beside the weights of a model of other origin; {config.name} {what}"
        )
    try:
        system = config.load_system()
    except ContractError as error:
        said, _, mend = str(error).partition(" Fix: ")
        mend = mend or {row.name: row.mend for row in _tables()[1]}.get(error.about, _NO_CONTRACT)
        return Diagnosis(config.name, {}, (DoctorCheck(error.about, "fail", said, mend=mend),))
    sample = _sample(data, columns)
    scorer = system if isinstance(system, Scorer) else JudgedBeside(system, sample.responses[0])
    parts = trained_parts(scorer)
    weights = [part for model in parts.values() for part in model.net.parameters()]
    tolerance = TOLERANCE["bfloat16" if any(part.dtype.itemsize < 4 for part in weights) else "float32"]
    patient = ScorerPatient(scorer, sample, tolerance, sum(one.numel() * one.element_size() for one in weights))
    contracts = {name: part.contract for name, part in parts.items()}
    decided = adopt or config.output is not None
    patients = {
        name: ModelPatient(
            part,
            sample,
            tolerance,
            decided or (part.folder is not None and (part.folder / FILE_NAME).is_file()),
            config.trust_remote_code,
        )
        for name, part in parts.items()
    }
    checks, blocking = [], False
    for name, row, found in _looked_at(patient, patients):
        checks.append(replace(found, name=f"{name}: {row.name}" if name else row.name))
        blocking |= found.verdict == "fail" and not row.elsewhere
    diagnosis = Diagnosis(config.name, contracts, tuple(checks))
    if folder is None or blocking or not contracts:
        return diagnosis
    (contract,) = contracts.values()
    contract = replace(contract, base=portable_base(contract.base, folder))
    write_card(folder, "transformer", {"contract": asdict(contract), "training": {}})
    return replace(diagnosis, adopted=folder / FILE_NAME)


def trained_parts(scorer: object) -> dict[str, TransformerReward]:
    """The trained models that a scorer consists of; one that is no part of another has the empty name."""
    from guerdon.rewards.transformer import TransformerReward

    if isinstance(scorer, TransformerReward):
        return {"": scorer}
    found: dict[str, TransformerReward] = {}
    for part in parts_of(scorer):
        if isinstance(part, TransformerReward) and all(part is not one for one in found.values()):
            found[_part_name(scorer, part, len(found))] = part
    return found


def _part_name(scorer: object, part: object, number: int) -> str:
    """What a part is called in the scorer, or the folder that it lies in as a member."""
    for held in ("members", "scorers"):
        names = getattr(scorer, held, None)
        if isinstance(names, Mapping):
            return next((name for name, one in names.items() if one is part), f"member-{number}")
    return f"member-{number}"


def _tables() -> tuple[tuple[CheckRow, ...], tuple[CheckRow, ...]]:
    """All checks: of any scorer, and of each trained model in it."""
    from guerdon.evaluate.health.keeping import KEEPING_ROWS
    from guerdon.evaluate.health.network import NETWORK_ROWS
    from guerdon.evaluate.health.reading import READING_ROWS
    from guerdon.evaluate.health.stability import KEPT_ROWS, OPAQUE_ROWS, SCORER_ROWS

    return (*SCORER_ROWS, *OPAQUE_ROWS, *JUDGE_ROWS, *KEPT_ROWS), (*KEEPING_ROWS, *READING_ROWS, *NETWORK_ROWS)


def _looked_at(
    patient: ScorerPatient, patients: Mapping[str, ModelPatient]
) -> Iterator[tuple[str, CheckRow, DoctorCheck]]:
    """Name of the part, row of the table, and what was found, one after the other."""
    from guerdon.evaluate.health.stability import KEPT_ROWS, OPAQUE_ROWS, SCORER_ROWS

    _, models = _tables()
    own: list[tuple[str, CheckRow, Any]] = [("", row, patient) for row in SCORER_ROWS]
    if not patients:
        judge = isinstance(patient.scorer, JudgedBeside)
        own += [("", row, patient) for row in (JUDGE_ROWS if judge else OPAQUE_ROWS)]
    of_parts = [(name, row, one) for name, one in patients.items() for row in models]
    for name, row, one in [*own, *of_parts, *(("", row, patient) for row in KEPT_ROWS)]:
        if one is patient and row is not SCORER_ROWS[0] and not len(patient.known):
            continue  # no text has a reward: there is nothing to compare
        found = row.look(one)
        mend = found.mend or (row.mend if found.verdict in ("fail", "warning") else "")
        yield name, row, DoctorCheck(row.name, found.verdict, found.message, found.difference, mend)


def _sample(data: str, columns: ColumnOptions) -> Texts:
    """Texts spread over the rows of the data, so that several subsets and lengths are among them."""
    records = itertools.islice(all_candidates(data, **columns), _ROWS_READ)
    found = (one.candidates for one in records)
    texts = list(dict.fromkeys((row.prompt, text, row.reference) for row in found for text in row.responses))
    if not texts:
        raise DataError(f"{data} has no responses to score")
    chosen = texts[:: max(1, len(texts) // SAMPLE)][:SAMPLE]
    prompts, responses, references = zip(*chosen, strict=True)
    return Texts(list(prompts), list(responses), list(references))

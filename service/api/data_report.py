"""What the API tells of a dataset's content: its profile, and its audit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from nncore.audit import Finding, audit
from nncore.audit.finding import Severity
from nncore.errors import Fault
from nncore.faults import did_you_mean, one_of, short
from nncore.split import SIDES, Division, HeldOut, divide, validation_size
from nncore.streams import LARGEST_SEED
from nncore.table import Table
from nncore.table.profile import profile
from service.api.answers import answer, encode, etag
from service.api.authentication import needs, tenant_id
from service.api.context import Context, context
from service.api.openapi import blueprint, json_answer, refusals
from service.api.parameters import DatasetPath, Parameters
from service.api.problems import invalid_parameters
from service.store import blobs, datasets
from service.store.models import Dataset

resource = blueprint("reports", "What is in a dataset, and what is wrong with it.", "/v1/datasets")

REMEMBERED_PROFILES = 64
_profiles: OrderedDict[str, bytes] = OrderedDict()  # answers by digest: equal tables have equal profiles

NO_DATASET = "There is no such dataset."


class Counted(BaseModel):
    """A value, and in how many rows it stands."""

    value: str | int
    count: int


class Histogram(BaseModel):
    """Counts between edges."""

    edges: list[float]
    counts: list[int]


class Numbers(BaseModel):
    """Numbers, described."""

    minimum: float
    maximum: float
    mean: float | None
    deviation: float | None = Field(description="Of the population.")
    quantiles: dict[str, float | None]
    histogram: Histogram
    sampled: bool = Field(description="Whether quantiles and distinct values are those of a million numbers, evenly taken.")


class ColumnProfile(BaseModel):
    """A column, described."""

    name: str
    dtype: str
    item_shape: list[int]
    rows: int
    missing: int
    distinct: int
    numbers: Numbers | None = Field(description="Null for texts.")
    values: list[Counted] | None = Field(description="Of texts, and of up to 50 whole numbers: the most frequent first.")


class Profile(BaseModel):
    """The columns of a dataset, described."""

    digest: str
    columns: list[ColumnProfile]


class FindingDocument(BaseModel):
    """Something about the data that would teach a network wrong priorities."""

    model_config = ConfigDict(title="Finding")

    code: str = Field(
        description="class_imbalance, duplicate_rows, duplicates_across_split, group_leakage, constant_column, giveaway_column or "
        "label_disagreement"
    )
    severity: Severity = Field(description="error: results cannot be trusted.")
    message: str
    remedy: str
    columns: list[str]
    rows: list[int] = Field(description="The first of the rows concerned, from 0.")
    count: int


class Audit(BaseModel):
    """What is wrong with the data, the worst first."""

    digest: str
    rows: int
    findings: list[FindingDocument]


class AuditParameters(Parameters):
    target: str | None = Field(None, max_length=200, description="The column to be learned.")
    group: str | None = Field(None, max_length=200, description="A column that names whom a row belongs to: a speaker, patient, customer.")
    fraction: float | None = Field(None, gt=0, lt=1, description="Which part of the rows a job will hold out for validation.")
    seed: int | None = Field(None, ge=0, le=LARGEST_SEED, description="The job's seed, which draws the rows; 0 unless told.")
    split_column: str | None = Field(None, max_length=200, description="The column that says what rows are for: train, validation or test.")


@resource.get("/<dataset_id>/profile", responses={200: json_answer(Profile, "The profile."), **refusals(_404=NO_DATASET)})
@needs("read")
def get_dataset_profile(path: DatasetPath) -> Response:
    """Describe what every column holds: range, mean, quantiles, histogram, missing and distinct values, classes and their counts."""
    here = context()
    dataset = datasets.get(here.store, tenant_id(), path.dataset_id, in_trash=True)
    body = _profiles.get(dataset.digest)
    if body is None:
        with opened(here, dataset) as table:
            body = encode({"digest": dataset.digest, "columns": profile(table)})
        _profiles[dataset.digest] = body
        if len(_profiles) > REMEMBERED_PROFILES:
            _profiles.popitem(last=False)
    return answer(body, ETag=etag(body))


@resource.get("/<dataset_id>/audit", responses={200: json_answer(Audit, "The audit."), **refusals(_404=NO_DATASET)})
@needs("read")
def get_dataset_audit(path: DatasetPath, query: AuditParameters) -> Response:
    """Look for what would teach a network wrong priorities, before it is trained.

    Constant columns and repeated rows are always looked for; with `target` class imbalance, columns that give it away and equal rows that
    disagree; with `fraction` (and `seed`), drawn as a job draws them, or `split_column`, rows whose inputs stand on both sides of the
    split, and with `group` groups that do. `GET /v1/jobs/{id}/audit` judges the very split of a job. Nothing is refused for what is found:
    it is for you to judge.
    """
    here = context()
    dataset = datasets.get(here.store, tenant_id(), path.dataset_id, in_trash=True)
    named = {"target": query.target, "group": query.group, "split_column": query.split_column}
    check_columns(named, dataset)
    if query.fraction is not None and validation_size(dataset.rows, query.fraction) >= dataset.rows:
        message = f"holding out {query.fraction:g} of {dataset.rows:,} rows leaves none to train on"
        raise invalid_parameters([Fault("/fraction", "no_training_rows", message, "at least one training row", "none")])
    with opened(here, dataset) as table:
        held_out = None
        if query.split_column is not None:
            _check_sides(query.split_column, table)
        elif query.fraction is not None:
            held_out = HeldOut(query.fraction, query.target is not None and table[query.target].categories is not None)
        division = Division(query.seed or 0, held_out, split_column=query.split_column, target=query.target)
        inputs = [column.name for column in table.columns if column.name not in named.values()]
        split = divide(table.rows, division, table.__getitem__)
        return told(dataset, audit(table, target=query.target, inputs=inputs, group=query.group, split=split))


def _check_sides(name: str, table: Table) -> None:
    unknown = [text for text in table[name].categories or ("numbers",) if text.strip().lower() not in SIDES]
    if unknown:
        message = f"the column {short(name)} says {one_of(unknown)}; expected are {one_of(SIDES)}"
        raise invalid_parameters([Fault("/split_column", "unknown_side", message, one_of(SIDES), short(unknown[0]))])


def told(dataset: Dataset, found: Sequence[Finding]) -> Response:
    """The answer that says what was found."""
    return answer(encode({"digest": dataset.digest, "rows": dataset.rows, "findings": [vars(finding) for finding in found]}))


def check_columns(named: Mapping[str, str | None], dataset: Dataset) -> None:
    """Refuse parameters that name a column which is not there."""
    names = [column["name"] for column in dataset.columns]
    faults = [
        Fault(f"/{part}", "no_such_column", f"there is no column {short(name)}.{did_you_mean(name, names)}", "a column", name)
        for part, name in named.items()
        if name is not None and name not in names
    ]
    if faults:
        raise invalid_parameters(faults)


@contextmanager
def opened(here: Context, dataset: Dataset) -> Iterator[Table]:
    """The dataset's table, mapped from a file that is gone afterwards: it takes no memory of its size."""
    with NamedTemporaryFile(dir=here.settings.data_dir) as file:
        for chunk in blobs.read(here.store, dataset.blob_id):
            file.write(chunk)
        file.flush()
        yield Table.open(Path(file.name), dataset.header)

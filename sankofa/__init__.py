"""What a user imports and types: `Client` and the `sankofa` command."""

from __future__ import annotations

from sankofa.client import Client
from sankofa.datasets import Dataset
from sankofa.errors import (
    BadRequest,
    Busy,
    Conflict,
    InvalidFile,
    InvalidInput,
    InvalidRequest,
    JobCancelled,
    JobFailed,
    JobUnsuccessful,
    NotAllowed,
    NotFound,
    Problem,
    Refused,
    SankofaError,
    ServiceFault,
    Unreachable,
    WaitTimeout,
)
from sankofa.events import Event
from sankofa.jobs import Job, Prediction
from sankofa.tensors import read_safetensors, safetensors_metadata

__all__ = [
    "BadRequest",
    "Busy",
    "Client",
    "Conflict",
    "Dataset",
    "Event",
    "InvalidFile",
    "InvalidInput",
    "InvalidRequest",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobUnsuccessful",
    "NotAllowed",
    "NotFound",
    "Prediction",
    "Problem",
    "Refused",
    "SankofaError",
    "ServiceFault",
    "Unreachable",
    "WaitTimeout",
    "read_safetensors",
    "safetensors_metadata",
]

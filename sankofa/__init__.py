"""What a user imports and types: `Client` and the `sankofa` command."""

from __future__ import annotations

from sankofa.client import Client
from sankofa.datasets import Dataset
from sankofa.errors import (
    InvalidFile,
    InvalidInput,
    JobCancelled,
    JobFailed,
    JobUnsuccessful,
    Problem,
    Refused,
    SankofaError,
    Unreachable,
    WaitTimeout,
)
from sankofa.events import Event
from sankofa.jobs import Job, Prediction
from sankofa.tensors import read_safetensors, safetensors_metadata

__all__ = [
    "Client",
    "Dataset",
    "Event",
    "InvalidFile",
    "InvalidInput",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobUnsuccessful",
    "Prediction",
    "Problem",
    "Refused",
    "SankofaError",
    "Unreachable",
    "WaitTimeout",
    "read_safetensors",
    "safetensors_metadata",
]

"""What a user imports and types: `Client` and the `sankofa` command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sankofa.client import Client
from sankofa.cross_validations import CrossValidation
from sankofa.curve import Curve
from sankofa.datasets import Dataset
from sankofa.errors import (
    BadRequest,
    Busy,
    Conflict,
    InvalidFile,
    InvalidInput,
    InvalidRequest,
    InvalidWebhook,
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
from sankofa.from_keras import network_from_keras
from sankofa.from_torch import network_from_torch
from sankofa.jobs import Job
from sankofa.tensors import read_safetensors, safetensors_metadata
from sankofa.trained import Prediction
from sankofa.verification import verify_webhook

if TYPE_CHECKING:
    from sankofa.estimators import SankofaClassifier as SankofaClassifier
    from sankofa.estimators import SankofaRegressor as SankofaRegressor

__all__ = [
    "BadRequest",
    "Busy",
    "Client",
    "Conflict",
    "CrossValidation",
    "Curve",
    "Dataset",
    "Event",
    "InvalidFile",
    "InvalidInput",
    "InvalidRequest",
    "InvalidWebhook",
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
    "network_from_keras",
    "network_from_torch",
    "read_safetensors",
    "safetensors_metadata",
    "verify_webhook",
]

ESTIMATORS = ("SankofaClassifier", "SankofaRegressor")  # they need scikit-learn, which takes a second to load


def __getattr__(name: str) -> Any:
    if name not in ESTIMATORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sankofa import estimators

    return getattr(estimators, name)

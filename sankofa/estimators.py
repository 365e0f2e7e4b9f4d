"""Estimators of scikit-learn whose networks a Sankofa service trains: fit, predict, score, in pipelines and grid searches.

search = GridSearchCV(SankofaClassifier(epochs=50), {"hidden_units": [(16,), (64, 64)], "learning_rate": [0.003, 0.03]})
search.fit(X, y).best_estimator_.predict_proba(X)

What is learnt stays with the service, as the job `job_id_` (`Client().job(estimator.job_id_)`): predictions ask it. An estimator holds no
key, and a pickle of it none either: whoever opens it finds service and key as `Client()` does. Needs scikit-learn (the extra `sklearn`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from sankofa.client import Client

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as error:
    raise ImportError("the estimators need scikit-learn 1.6 or later: pip install 'sankofa[sklearn]'") from error

NUMBERS_AT_ONCE = 200_000  # of the rows that are sent in one question


class _Estimator(BaseEstimator):
    """What a classifier and a regressor have in common."""

    def __init__(
        self,
        hidden_units: Sequence[int] = (32,),
        activation: str = "relu",
        *,
        network: Sequence[Mapping[str, Any]] | None = None,
        learning_rate: float = 0.01,
        batch_size: int = 32,
        epochs: int = 100,
        standardize: bool = True,
        options: Mapping[str, Any] | None = None,
        random_state: Any = None,
        url: str | None = None,
        client: Client | None = None,
    ) -> None:
        """Nothing is asked of the service before `fit`.

        hidden_units: of each dense layer before the last, which is added. network: instead of these, all layers, the last among them.
        learning_rate: of Adam. standardize: whether inputs are brought to mean 0 and deviation 1 first. options: anything else that a job
        may be told (validation, early_stopping, optimizer, ...; see TrainingOptions). random_state: what the job's seed is drawn from.
        url: the service's address. client: one to speak through, which is shared by clones and left out of a pickle.
        """
        self.hidden_units = hidden_units
        self.activation = activation
        self.network = network
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.standardize = standardize
        self.options = options
        self.random_state = random_state
        self.url = url
        self.client = client

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "client": None}

    def _train(self, inputs: np.ndarray, target: np.ndarray, sample_weight: Any, units: int, loss: str) -> None:
        """Have the service train, wait for it, and keep which job it was. Raises JobFailed, with the reason."""
        columns = {"x": inputs, "y": target}
        told: dict[str, Any] = {
            "inputs": ["x"],
            "loss": {"type": loss},
            "optimizer": {"type": "adam", "learning_rate": self.learning_rate},
            "batch_size": min(self.batch_size, len(inputs)),
            "epochs": self.epochs,
            "preprocess": [{"type": "standardize"}] if self.standardize else [],
            "seed": int(check_random_state(self.random_state).randint(2**31)),
            "dtype": "float64",
        }
        if sample_weight is not None:
            columns["weight"] = _check_sample_weight(sample_weight, inputs, dtype=np.float64)
            told["sample_weight"] = "weight"
        hidden = [{"type": "dense", "units": units, "activation": self.activation} for units in self.hidden_units]
        network = self.network if self.network is not None else [*hidden, {"type": "dense", "units": units}]
        with self._connected() as client:
            job = client.train(network, columns, "y", **{**told, **(self.options or {})}).wait()
        self.job_id_ = job.id
        self.n_iter_ = int(job.progress["epoch"])
        self.loss_ = job.progress["loss"]

    def _answers(self, X: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """outputs (rows, units) and probabilities of the best parameters."""
        check_is_fitted(self)
        inputs = validate_data(self, X, dtype=np.float64, reset=False)
        at_once = max(1, NUMBERS_AT_ONCE // inputs.shape[1])
        with self._connected() as client:
            job = client.job(self.job_id_)
            found = [job.predict({"x": inputs[first : first + at_once]}) for first in range(0, len(inputs), at_once)]
        probabilities = [part.probabilities for part in found if part.probabilities is not None]
        return np.concatenate([part.outputs for part in found]), np.concatenate(probabilities) if probabilities else None

    @contextmanager
    def _connected(self) -> Iterator[Client]:
        if self.client is not None:
            yield self.client
            return
        with Client(self.url) as client:
            yield client


class SankofaClassifier(ClassifierMixin, _Estimator):
    """A network that tells classes apart, trained with softmax cross-entropy.

    classes_: (classes,). job_id_, n_iter_ (epochs), loss_: of the training.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SankofaClassifier:
        """Train a new network. X: (rows, features), numbers. y: (rows,), two classes or more. sample_weight: (rows,)."""
        inputs, labels = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(labels)
        self.classes_, encoded = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y: expected two classes or more, got 1 class: {self.classes_[0]!r}")
        self._train(inputs, encoded.astype(np.int64), sample_weight, len(self.classes_), "softmax_cross_entropy")
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """(rows, classes), in the order of `classes_`."""
        _, probabilities = self._answers(X)
        assert probabilities is not None, "its loss is one of classes"
        return probabilities

    def predict(self, X: Any) -> np.ndarray:
        """(rows,), the most probable class."""
        most_probable = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[most_probable])


class SankofaRegressor(RegressorMixin, _Estimator):
    """A network that answers a number, trained with the mean squared error of the target brought to mean 0 and deviation 1.

    job_id_, n_iter_ (epochs), loss_: of the training; target_mean_, target_scale_: what the target was brought from.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SankofaRegressor:
        """Train a new network. X: (rows, features), numbers. y: (rows,), numbers. sample_weight: (rows,)."""
        inputs, target = validate_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        target = target.astype(np.float64)
        self.target_mean_, self.target_scale_ = float(target.mean()), float(target.std()) or 1.0
        self._train(inputs, (target - self.target_mean_) / self.target_scale_, sample_weight, 1, "mean_squared_error")
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(rows,)."""
        outputs, _ = self._answers(X)
        return np.asarray(outputs[:, 0] * self.target_scale_ + self.target_mean_)

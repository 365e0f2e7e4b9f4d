"""A plan: rows of (kernel, integers) over one flat arena in which everything that is a float has its place.

The arena is cut into regions, each starting on a cache line:

    scalars     what changes from step to step: the learning rate and its like
    parameters  all of them, one after the other, without gaps: one vector
    statistics  running statistics, right behind the parameters: a snapshot is the one vector of both
    gradients   those of the parameters, place by place
    optimizer   what the optimizer remembers, some vectors as long as the parameters
    constants   numbers that never change
    workspace   activations, their gradients, what forward keeps for backward: nothing in it outlives a step
    scratch     what lives only while one kernel runs: all of them use the same place, as large as the largest wants it

Whole numbers have two: `integers` (the header, the labels) and, after it in the same array, `geometry`: sizes that never change, for
kernels that need more of them than a row of the plan holds.

Layers, loss and optimizer append rows and take space while they are lowered; a Place is resolved to an index of the arena only when all
of them are. So the memory a network needs is known before any of it is taken. A training plan and an evaluation plan of one network
stand over one Layout: they share every region, the workspace too, because they never run at the same time.

How many rows a batch has is a number in `integers`, not in the plan: the partial last batch of an epoch runs the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from nncore.initialisers import Initialiser
from nncore.machine.kernels import FIELDS, HEADER, SCALARS, Kernel

if TYPE_CHECKING:
    from nncore.layers.layer import Layer

Region = Literal[
    "scalars", "parameters", "statistics", "gradients", "optimizer", "constants", "workspace", "scratch", "integers", "geometry"
]
ARENA_REGIONS: tuple[Region, ...] = ("scalars", "parameters", "statistics", "gradients", "optimizer", "constants", "workspace", "scratch")
LINE = 16  # numbers: 64 bytes of float32, a cache line

NOWHERE = -1
"""Instead of a place: nobody wants it."""


class Place(NamedTuple):
    """A position in a region."""

    region: Region
    offset: int


class Value(NamedTuple):
    """An activation: where it lies, where its gradient lies (or NOWHERE), and the shape of one item. Items lie one after the other.

    mask: of a sequence, where a number for each step of each row lies, 1, or 0 where the step is padding; NOWHERE if all count.
    """

    at: Place | int
    gradient: Place | int
    shape: tuple[int, ...]
    mask: Place | int = NOWHERE

    @property
    def size(self) -> int:
        """Numbers per item."""
        return prod(self.shape)


@dataclass(frozen=True)
class Parameter:
    """A named part of the parameter vector; at first uniform in +-bound, unless there is an initialiser, or it is `given`.

    decays: false where penalties and weight decay spare it, as they spare everything of a single dimension.
    """

    name: str
    shape: tuple[int, ...]
    at: Place
    gradient: Place
    bound: float
    given: Sequence[Any] | None = field(repr=False)
    initialiser: Initialiser | None = None
    decays: bool = True

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Statistic:
    """Named numbers that a layer keeps from step to step though no gradient moves them; at first all `first`, unless they are `given`."""

    name: str
    shape: tuple[int, ...]
    at: Place
    first: float
    given: Sequence[Any] | None = field(repr=False)

    @property
    def size(self) -> int:
        return prod(self.shape)


class LoweredLayer(NamedTuple):
    """A layer in a plan: its JSON pointer in the network, the parameters it asked for, and what it gives to the next."""

    at: str
    layer: Layer
    parameters: Sequence[Parameter]
    output: Value


def _whole_lines(size: int) -> int:
    return -(-size // LINE) * LINE


class Layout:
    """What is where in the arena and in `integers`; shared by the plans of one network."""

    def __init__(self) -> None:
        self.parameters: dict[str, Parameter] = {}
        self.statistics: dict[str, Statistic] = {}
        self.constants: dict[tuple[float, ...], Place] = {}
        self.repeated: dict[tuple[float, int], Place] = {}
        self.geometry: dict[tuple[int, ...], Place] = {}
        self.sizes: dict[Region, int] = dict.fromkeys(ARENA_REGIONS, 0) | {"scalars": SCALARS, "integers": HEADER, "geometry": 0}

    def take(self, region: Region, size: int) -> Place:
        """The next `size` numbers of a region, from a cache line on."""
        place = Place(region, self.sizes[region])
        self.sizes[region] += _whole_lines(size)
        return place

    @property
    def parameter_count(self) -> int:
        return self.sizes["parameters"]

    @property
    def learned_count(self) -> int:
        """Parameters and running statistics: what a snapshot holds."""
        return self.sizes["parameters"] + self.sizes["statistics"]

    @property
    def arena_size(self) -> int:
        """Numbers in the arena."""
        return self._ends()[ARENA_REGIONS[-1]]

    @property
    def integers_size(self) -> int:
        """Numbers in the array of whole numbers."""
        return _whole_lines(self.sizes["integers"]) + self.sizes["geometry"]

    def bases(self) -> dict[Region, int]:
        """Where each region starts."""
        bases: dict[Region, int] = {"integers": 0, "geometry": _whole_lines(self.sizes["integers"])}
        return bases | dict(zip(ARENA_REGIONS, [0, *self._ends().values()], strict=False))

    def _ends(self) -> dict[Region, int]:
        """Where each region of the arena ends, and the next one starts. Statistics follow the parameters without a gap."""
        ends: dict[Region, int] = {}
        at = 0
        for region in ARENA_REGIONS:
            at += self.sizes[region]
            at = ends[region] = at if region == "parameters" else _whole_lines(at)
        return ends


class Plan:
    """What layers, loss and optimizer are lowered into.

    rows: the largest batch. training: whether layers that do something else while training (dropout, batch_norm) do that.
    gradients: whether there are backward rows; where nothing is said, when it trains.
    """

    def __init__(self, layout: Layout, rows: int, *, training: bool, gradients: bool | None = None) -> None:
        self.layout, self.rows, self.training = layout, rows, training
        self.gradients = training if gradients is None else gradients
        self.forward: list[tuple[Any, ...]] = []
        self.backward: list[list[tuple[Any, ...]]] = []
        """Groups of rows. The groups run last first, the rows within one in their order."""
        self.update: list[tuple[Any, ...]] = []
        """Rows that change what outlives a step. They run only after loss and gradients were found finite."""
        self._prefix, self._modules, self._random_layers = "", 0, 0
        self._taken: dict[Region, int] = {"workspace": 0, "integers": HEADER}
        self.inputs = self.outputs = Value(NOWHERE, NOWHERE, ())
        self.layer_outputs: list[Value] = []
        """What each layer of the network gives to the next; in a plan without gradients it stays as it is until the next batch."""
        self.lowered: list[LoweredLayer] = []
        """Every layer, those within others too, and before them."""
        self._at = ""
        self._asked: list[Parameter] = []
        self.row_losses_at: Place | int = NOWHERE
        self.targets_at: Place | int = NOWHERE
        self.labels_at: Place | int = NOWHERE
        self.weights_at: Place | int = NOWHERE
        self.accumulated_at: Place | int = NOWHERE

    # What layers ask for

    def module(self) -> str:
        """The name of the next module of the equal torch.nn.Sequential."""
        self._modules += 1
        return f"{self._prefix}{self._modules - 1}"

    def lower(self, at: str, layer: Layer, x: Value) -> Value:
        """`layer` lowered; answers where its output lies. at: its JSON pointer, from the layer around it."""
        outside, self._at = self._at, self._at + at
        first = len(self._asked)
        y = layer.lower(self, x)
        self.lowered.append(LoweredLayer(self._at, layer, self._asked[first:], y))
        self._at = outside
        return y

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Meanwhile modules are those of a torch.nn.Sequential of this name, within the whole: name.0, name.1 and so on."""
        outside = self._prefix, self._modules
        self._prefix, self._modules = f"{name}.", 0
        yield
        self._prefix, self._modules = outside

    def random_layer(self) -> int:
        """A number for a layer that draws, by which its hash differs from the others'."""
        self._random_layers += 1
        return self._random_layers - 1

    def parameter(
        self,
        name: str,
        shape: tuple[int, ...],
        bound: float,
        given: Sequence[Any] | None = None,
        initialiser: Initialiser | None = None,
        *,
        decays: bool = True,
    ) -> Parameter:
        """A parameter, placed after those asked for before; the same one when another plan of the layout has asked for it."""
        known = self.layout.parameters.get(name)
        if known is None:
            offset = self.layout.parameter_count
            at, gradient = Place("parameters", offset), Place("gradients", offset)
            known = Parameter(name, shape, at, gradient, bound, given, initialiser, decays)
            self.layout.parameters[name] = known
            self.layout.sizes["parameters"] = self.layout.sizes["gradients"] = offset + known.size
        self._asked.append(known)
        return known

    def statistic(self, name: str, shape: tuple[int, ...], first: float, given: Sequence[Any] | None = None) -> Statistic:
        """Running statistics, placed after those asked for before; the same when another plan of the layout has asked for them."""
        known = self.layout.statistics.get(name)
        if known is None:
            known = Statistic(name, shape, Place("statistics", self.layout.sizes["statistics"]), first, given)
            self.layout.statistics[name] = known
            self.layout.sizes["statistics"] += known.size
        return known

    def constant(self, *numbers: float) -> Place:
        """Where these numbers lie, one after the other."""
        if numbers not in self.layout.constants:
            self.layout.constants[numbers] = self.layout.take("constants", len(numbers))
        return self.layout.constants[numbers]

    def repeated(self, number: float, count: int) -> Place:
        """Where this number lies `count` times; no list of them is made, so that a plan too large for any memory is measured at once."""
        if (number, count) not in self.layout.repeated:
            self.layout.repeated[number, count] = self.layout.take("constants", count)
        return self.layout.repeated[number, count]

    def whole_constant(self, *numbers: int) -> Place:
        """Where, in `integers`, these whole numbers lie, one after the other."""
        if numbers not in self.layout.geometry:
            self.layout.geometry[numbers] = self.layout.take("geometry", len(numbers))
        return self.layout.geometry[numbers]

    def value(self, *shape: int) -> Value:
        """Space for an activation of every row, and for its gradient in a plan that computes them."""
        size = prod(shape)
        return Value(self.workspace(size), self.workspace(size) if self.gradients else NOWHERE, shape)

    def workspace(self, size_per_row: int) -> Place:
        """Space that lives within a step: `size_per_row` numbers for each row."""
        return self._take("workspace", self.rows * size_per_row)

    def batch_workspace(self, size: int) -> Place:
        """Space that lives within a step: `size` numbers for the whole batch."""
        return self._take("workspace", size)

    def scratch(self, size: int) -> Place:
        """Space that lives while one kernel runs: `size` numbers. Every kernel gets the same, so ask once and cut it up there."""
        self.layout.sizes["scratch"] = max(self.layout.sizes["scratch"], size)
        return Place("scratch", 0)

    # What losses ask for

    def row_losses(self) -> Place | int:
        """Where the loss of every row goes: (rows,). The machine adds them up in float64."""
        if self.row_losses_at == NOWHERE:
            self.row_losses_at = self.workspace(1)
        return self.row_losses_at

    def targets(self, size: int) -> Place | int:
        """Where the machine puts the targets of the batch: (rows, size)."""
        if self.targets_at == NOWHERE:
            self.targets_at = self.workspace(size)
        return self.targets_at

    def labels(self) -> Place | int:
        """Where, in `integers`, the machine puts the labels of the batch: (rows,)."""
        if self.labels_at == NOWHERE:
            self.labels_at = self._take("integers", self.rows)
        return self.labels_at

    def weights(self) -> Place | int:
        """Where the machine puts the weights of the rows of the batch: (rows,)."""
        if self.weights_at == NOWHERE:
            self.weights_at = self.workspace(1)
        return self.weights_at

    # What optimizers ask for

    @property
    def parameters_at(self) -> Place:
        return Place("parameters", 0)

    @property
    def gradients_at(self) -> Place:
        return Place("gradients", 0)

    @property
    def parameter_count(self) -> int:
        return self.layout.parameter_count

    def optimizer_state(self) -> Place:
        """A vector as long as the parameters, zero at first, that outlives the step and is part of a checkpoint."""
        return self.layout.take("optimizer", self.parameter_count)

    # What the program asks for

    def accumulate(self) -> None:
        """Take a place where the gradients of the batches of a step are added up, after every parameter has been asked for."""
        self.accumulated_at = self._take("workspace", self.parameter_count)

    def resolve(self, place: Place | int) -> int:
        """The index of a place, once everything was lowered."""
        return place if isinstance(place, int) else self.layout.bases()[place.region] + place.offset

    def in_order(self) -> list[tuple[Any, ...]]:
        """All rows as they run: forward, backward, update."""
        return self.forward + [row for group in reversed(self.backward) for row in group] + self.update

    def kernels(self) -> list[Kernel]:
        """The kernels of the plan, each once."""
        return list(dict.fromkeys(row[0] for row in self.in_order()))

    def table(self) -> np.ndarray:
        """(rows of the plan, 1 + FIELDS) int64: the number of the kernel in `kernels()`, then its integers, filled up with 0."""
        numbers, bases = {kernel: number for number, kernel in enumerate(self.kernels())}, self.layout.bases()
        table = np.zeros((len(self.in_order()), 1 + FIELDS), dtype=np.int64)
        for at, (kernel, *integers) in enumerate(self.in_order()):
            resolved = [value if isinstance(value, int) else bases[value.region] + value.offset for value in integers]
            table[at, : 1 + len(resolved)] = [numbers[kernel], *resolved]
        return table

    def _take(self, region: Region, size: int) -> Place:
        place = Place(region, self._taken[region])
        self._taken[region] += _whole_lines(size)
        self.layout.sizes[region] = max(self.layout.sizes[region], self._taken[region])
        return place

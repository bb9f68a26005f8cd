"""Weight gradients of any torch module: layer by layer where possible, by Jacobians elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call, jacrev, vmap

from symscape.kernels._ntk_blocks import Dense, Features, ranges
from symscape.kernels._ntk_layers import Gradient, Vector, gradient_of, joined, layer_parameters
from symscape.kernels._ntk_recording import Use, changed_in_place, outputs_of, recorded, signals

__all__ = ["ModuleSource"]

# bytes that passes through the network may use at a time: more would only leave the cache
_PASSES = 2**27

# Relative difference of two ways to compute the same, beyond which they are not the same; rounding
# is far below it.
_AGREEMENT = {torch.float32: 1e-3, torch.float64: 1e-8}

Owner = tuple[nn.Module, str]


@dataclass
class _Plan:
    """How the gradients of a module's parameters are made.

    Attributes:
        layers: for each parameter that is known layer by layer, the modules that own it.
        calls: the layers in the order in which they are called.
        copied: layers whose outputs are changed in place.
        others: names of the parameters that need a Jacobian.
        vectorized: whether that Jacobian can be made for many points at once.
        bytes_held: by the features of a point.
        bytes_passing: needed beside them for a point while they are made.
    """

    layers: list[list[Owner]] = field(default_factory=list)
    calls: list[nn.Module] = field(default_factory=list)
    copied: set[nn.Module] = field(default_factory=set)
    others: list[str] = field(default_factory=list)
    vectorized: bool = True
    bytes_held: int = 0
    bytes_passing: int = 0

    @property
    def modules(self) -> list[nn.Module]:
        return list(dict.fromkeys(module for owners in self.layers for module, _ in owners))


class ModuleSource:
    """Gradients of all parameters of a module that require them.

    Args:
        model: the module.
        x: some inputs, at which the module is looked at.
        each: rows for each output, not for their sum.
        memory: bytes that may be used.

    Raises:
        ValueError: a module whose gradients at one point are not defined by that point.
    """

    def __init__(self, model: nn.Module, x: Tensor, each: bool, memory: int) -> None:
        self._model, self._each = model, each
        self._parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._dtype = next(iter(self._parameters.values())).dtype
        examples = x[[0, len(x) // 2, len(x) - 1]]
        _refuse_modes(model)
        self.c = self._refuse_interactions(examples)
        self._plan = _Plan()
        self._look(examples)
        self.r = self.c if each else 1
        per_point = max(self._plan.bytes_passing, 1)
        self._step = max(1, min(memory // 4, _PASSES) // per_point)
        self.bytes_held, self.bytes_passing = self._plan.bytes_held, 0
        self.bytes_fixed = min(self._step, len(x)) * per_point

    def features(self, x: Tensor) -> Sequence[Features]:
        """Features of all points, made for a few of them at a time."""
        wholes: list[Features] = []
        for start, stop in ranges(len(x), self._step):
            parts = self._some(x[start:stop])
            if stop - start == len(x):
                return parts
            if not wholes:
                wholes = [p.map(lambda _, t: t.new_empty(len(x), *t.shape[1:])) for p in parts]
            for whole, part in zip(wholes, parts, strict=True):
                pieces = part.tensors()
                for name, tensor in whole.tensors().items():
                    tensor[start:stop] = pieces[name]
        return wholes

    def _some(self, x: Tensor) -> list[Features]:
        features: list[Features] = []
        vectors: list[Tensor] = []
        if self._plan.layers:
            self._add_layers(x, features, vectors)
        if self._plan.others:
            vectors.append(self._jacobian(x, self._plan.others, self._plan.vectorized))
        if vectors:
            rows = [v if self._each else v.flatten(1).unsqueeze(1) for v in vectors]
            features.append(Dense(torch.cat(rows, 2)))
        return features

    def _add_layers(self, x: Tensor, features: list[Features], vectors: list[Tensor]) -> None:
        """Append what the layers give: features of weights, gradients of biases and the like."""
        uses, deltas = self._pass(x)
        merged: set[nn.Module] = set()
        for owners in self._plan.layers:
            module, name = owners[0]
            if name == "bias" and module in merged:
                continue
            gradient = joined(_parts(owners, uses, deltas))
            if isinstance(gradient, Vector):
                vectors.append(gradient.gradients)
                continue
            if gradient is None:
                raise ValueError(_IRREGULAR)
            # weights and bias of a layer share the products of its signals
            alone = len(owners) == 1 and [(module, "bias")] in self._plan.layers
            bias = alone and gradient.at_one_position
            features.append(gradient.features(self._each, bias))
            merged |= {module} if bias else set()

    def _pass(self, x: Tensor) -> tuple[list[Use], list[Tensor]]:
        """One pass forward, and one backward for each output."""
        with recorded(self._plan.modules, self._plan.copied) as recording:
            f = outputs_of(self._model, x, self._dtype)
        uses = list(recording)
        if [use.module for use in uses] != self._plan.calls:
            raise ValueError(_IRREGULAR)
        return uses, signals(f, uses)

    def _jacobian(self, x: Tensor, names: list[str], vectorized: bool) -> Tensor:
        """(n, c, m): the gradients of some parameters."""
        chosen = {name: self._parameters[name].detach() for name in names}
        if not vectorized:
            return self._jacobian_point_by_point(x, names)
        rest = {n: t.detach() for n, t in self._model.named_parameters() if n not in chosen}
        rest |= dict(self._model.named_buffers())

        def f(parameters: dict[str, Tensor], point: Tensor) -> Tensor:
            return functional_call(self._model, (parameters, rest), (point[None],)).reshape(-1)

        J = vmap(jacrev(f), (None, 0))(chosen, x)
        return torch.cat([J[name].flatten(2) for name in names], 2)

    def _jacobian_point_by_point(self, x: Tensor, names: list[str]) -> Tensor:
        parameters = [self._parameters[name] for name in names]
        rows = []
        for point in x:
            f = outputs_of(self._model, point[None], self._dtype)[0]
            for value in f:
                gradients = torch.autograd.grad(
                    value, parameters, retain_graph=True, materialize_grads=True
                )
                rows.append(torch.cat([g.to_dense().flatten() for g in gradients]))
        return torch.stack(rows).view(len(x), self.c, -1)

    def _refuse_interactions(self, x: Tensor) -> int:
        """The number of outputs, after a look whether they are functions of single points."""
        before = {n: b.clone() for n, b in self._model.named_buffers()}
        try:
            first = outputs_of(self._model, x, self._dtype)
            changed = [n for n, b in self._model.named_buffers() if not _same(b, before[n])]
        finally:
            with torch.no_grad():
                for name, buffer in self._model.named_buffers():
                    buffer.copy_(before[name])
        if changed:
            raise ValueError(
                f"model: a forward pass changes its buffer {changed[0]}; allowed: modules that it "
                "leaves as they are (call model.eval() first)"
            )
        if not torch.equal(first, outputs_of(self._model, x, self._dtype)):
            raise ValueError(
                "model: two forward passes give different outputs; allowed: modules without "
                "randomness (call model.eval() first)"
            )
        fewer = outputs_of(self._model, x[:2], self._dtype)
        scale = _AGREEMENT[self._dtype] * float(first.detach().abs().max())
        if not bool(((fewer - first[:2]).abs() <= scale).all()):
            raise ValueError(_INTERACTION)
        return first.shape[1]

    def _look(self, x: Tensor) -> None:
        """Fill the plan: which parameters go layer by layer, and what memory it takes."""
        plan, dtype = self._plan, self._dtype
        owners = self._owners()
        candidates = list(dict.fromkeys(m for known in owners.values() for m, _ in known))
        with recorded(candidates, ()) as recording:
            outputs_of(self._model, x, dtype)
        plan.copied = changed_in_place(recording)
        with recorded(candidates, plan.copied) as fewer:
            outputs_of(self._model, x[:2], dtype)
        saved = _SavedBytes(self._parameters)
        with saved, recorded(candidates, plan.copied) as uses:
            f = outputs_of(self._model, x, dtype)
        batched = _batched_modules(uses, fewer)
        others = {use.module for use in uses} - batched
        regular = {
            name: known
            for name, known in owners.items()
            if not any(module in others for module, _ in known)
        }
        agreeing = self._agreeing(regular, f, [use for use in uses if use.module in batched])
        plan.layers = sorted(
            (owners[name] for name in agreeing), key=lambda known: known[0][1] == "bias"
        )  # weights before biases, which may then go with them
        plan.others = [name for name in owners if name not in agreeing]
        plan.calls = [use.module for use in uses if use.module in plan.modules]
        tensors = sum(use.inputs.nbytes + (1 + self.c) * use.output.nbytes for use in uses)
        bytes_passing = tensors + saved.total + max(agreeing.values(), default=0)
        if plan.others:
            plan.vectorized = self._can_vectorize(x[:2])
            numbers = sum(self._parameters[name].numel() for name in plan.others)
            bytes_passing += self.c * (len(x) * numbers * f.element_size() + saved.total)
        plan.bytes_passing = bytes_passing // len(x)
        held = sum(t.nbytes for part in self._some(x) for t in part.tensors().values())
        plan.bytes_held = held // len(x)

    def _owners(self) -> dict[str, list[Owner]]:
        """For each parameter the layers that have it and whose formulas are known."""
        owners: dict[str, list[Owner]] = {name: [] for name in self._parameters}
        names = {id(p): name for name, p in self._parameters.items()}
        for module in self._model.modules():
            for own in layer_parameters(module):
                name = names.get(id(module._parameters[own]))
                if name is not None:
                    owners[name].append((module, own))
        return owners

    def _agreeing(
        self, owners: dict[str, list[Owner]], f: Tensor, uses: list[Use]
    ) -> dict[str, int]:
        """Parameters whose formulas agree with autograd at the first point, and the bytes taken.

        Whatever a module does with a parameter behind the back of its layers is found out here.
        """
        mixture = _mixture(f)
        outputs, parameters = [use.output for use in uses], list(self._parameters.values())
        found = torch.autograd.grad(
            f[0] @ mixture, [*outputs, *parameters], retain_graph=True, materialize_grads=True
        )
        if any(bool(g[1:].any()) for g in found[: len(outputs)]):
            raise ValueError(_INTERACTION)
        exact = [g.to_dense().flatten() for g in found[len(outputs) :]]
        least = 1e-4 * float(torch.stack([g.norm() for g in exact]).norm())
        deltas, agreeing = signals(f, uses), {}
        for name, expected in zip(self._parameters, exact, strict=True):
            gradient = joined(_parts(owners.get(name, []), uses, deltas))
            if gradient is None:
                continue
            dense = gradient.dense()
            error = float((mixture @ dense[0] - expected).norm())
            if error <= _AGREEMENT[self._dtype] * max(float(expected.norm()), least):
                agreeing[name] = gradient.nbytes() + dense.nbytes
        return agreeing

    def _can_vectorize(self, x: Tensor) -> bool:
        """Whether torch.func takes the module, and agrees with autograd."""
        others = self._plan.others
        expected = self._jacobian(x, others, vectorized=False)
        try:
            found = self._jacobian(x, others, vectorized=True)
        except Exception:  # whatever an operation without a rule for batches raises
            return False
        scale = _AGREEMENT[self._dtype] * float(expected.abs().max())
        return bool(((found - expected).abs() <= scale).all())


_INTERACTION = (
    "model: the output at a point depends on the other points of the batch; allowed: modules "
    "that treat points one by one (call model.eval() first if it has batch normalization)"
)


_IRREGULAR = (
    "model: the same layers are not used, in the same order, in every forward pass; allowed: "
    "modules that use their layers alike at every point"
)


class _SavedBytes(saved_tensors_hooks):
    """Counts what autograd keeps for the backward pass, parameters left out."""

    def __init__(self, parameters: dict[str, nn.Parameter]) -> None:
        self._seen = {p.untyped_storage().data_ptr() for p in parameters.values()}
        self.total = 0
        super().__init__(self._count, lambda tensor: tensor)

    def _count(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.total += storage.nbytes()
        return tensor


def _refuse_modes(model: nn.Module) -> None:
    """Refuse layers that are known to mix points or to be random, by name."""
    for name, module in model.named_modules():
        kind = f"{type(module).__name__} {name!r}"
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            raise ValueError(
                f"model: {kind} in training mode, where points interact and a forward pass "
                "changes buffers; allowed: evaluation mode (call model.eval() first)"
            )
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.training and module.p > 0:
            raise ValueError(
                f"model: {kind} is active; allowed: evaluation mode (call model.eval() first)"
            )


def _parts(owners: list[Owner], uses: list[Use], deltas: list[Tensor]) -> list[Gradient]:
    """The gradients of a parameter from each use of the layers that own it."""
    return [
        gradient_of(module, name, use.inputs, delta)
        for use, delta in zip(uses, deltas, strict=True)
        for module, name in owners
        if use.module is module
    ]


def _batched_modules(uses: list[Use], fewer: list[Use]) -> set[nn.Module]:
    """Layers whose tensors have the points as their first dimension, seen by changing their number.

    Args:
        uses: in a pass with three points.
        fewer: in a pass with two of them.
    """
    modules = {use.module for use in uses}
    if [use.module for use in uses] != [use.module for use in fewer]:
        return set()
    for use, other in zip(uses, fewer):
        for three, two in ((use.inputs, other.inputs), (use.output, other.output)):
            wrong = three.ndim == 0 or three.shape[0] != 3 or two.shape[0] != 2
            if wrong or three.shape[1:] != two.shape[1:]:
                modules.discard(use.module)
    return modules


def _mixture(f: Tensor) -> Tensor:
    """Fixed coefficients of a combination of the outputs."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(f.shape[1], generator=generator, dtype=torch.float64).to(f)


def _same(a: Tensor, b: Tensor) -> bool:
    """Equal, where NaN is NaN."""
    return bool(torch.equal(a, b) or ((a == b) | ((a != a) & (b != b))).all())

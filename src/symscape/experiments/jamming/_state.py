"""Train one net of the jamming chapter and measure the state in which it ends."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from symscape.dynamics import Status, TrainResult
    from symscape.networks import FullyConnected

PREACTIVATION_EDGES = np.linspace(-12.0, 2.0, 71)
"""Bins of log10 |pre-activation|."""

REST = 2e-2
"""Shortest gradient over the square root of the loss below which forces cancel."""

FLAT = 3000, 0.01
"""Iterations, and the share of the loss that they take away no more once it has stopped falling."""

KINK = 1e-4
"""Pre-activations below this are at the kink of relu: far inside the gap above the peak."""

SMOOTH = 20
"""L-BFGS iterations of a smooth net over those of a round of a relu net."""

ROUNDS = 16
"""Largest number of rounds in :func:`measure_run`."""


def train_hinge(
    net: FullyConnected,
    point: dict[str, Any],
    x: Tensor,
    y: Tensor,
    *,
    rounds: int = 4,
    drop_silent: bool = False,
) -> TrainResult:
    """Descend on the quadratic hinge until every pattern is satisfied, or nothing moves any more.

    From an orthogonal initialization with zero biases (paper A, Sec. III; paper B, App. B), in
    stages that end where the loss is zero:

    1. full-batch ADAM, ``steps`` steps at ``learning_rate``;
    2. L-BFGS, up to ``iterations`` iterations (:func:`symscape.dynamics.minimize`): it goes on
       where ADAM is slow, and ends early where relus stand at their kinks. Smooth nets, which have
       no third stage, take up to ``SMOOTH`` times as many;
    3. for relu, half as many steps of ADAM at a rate that falls to ``final_rate``, the thesis's
       schedule, which pins relus to their kinks. Stages 2 and 3 are a round; rounds follow one
       another until the state is at rest.

    At rest is a state whose loss has stopped falling: the last 3000 iterations of L-BFGS, or
    for relu the last round, took less than 1 % of it (``FLAT``). A small gradient alone does
    not tell: near jamming most directions are flat, and from the end of ADAM, at a gradient of
    0.02 sqrt(loss), a tanh net has gone on to a sixth of its loss. For relu the forces must cancel
    as well, lest it be the rate alone that is at rest: the shortest generalized gradient, in which
    the relus at their kinks bear forces (:func:`symscape.landscape.least_gradient`; the gradient
    itself does not vanish there) is at most ``REST`` times the square root of the loss.

    Args:
        net: the architecture.
        point: seed, steps, learning_rate, final_rate, iterations.
        x: training inputs, (P, d).
        y: labels -1 or +1, (P,).
        rounds: largest number of rounds of a relu net.
        drop_silent: leave the patterns that are silent at the beginning of a round out of it (see
            :func:`silent_patterns`): no descent can fit them. Further rounds follow where such a
            pattern is heard again, and where a net at rest has fallen silent on one. All numbers of
            the result are of the patterns of its last round.

    Returns:
        The end. Its status is what the run counts as: ``converged`` is fitted (zero loss, or
        below 1e-12), ``stalled`` is at rest, that is jammed, and ``out_of_budget`` is censored,
        neither of the two. ``grad_norm`` is the gradient that decides on rest, ``steps`` and the
        history count the steps of all stages.
    """
    import torch

    from symscape.dynamics import Adam, Hinge, Plateau, Stop, minimize, train

    loss, steps, rate = Hinge(power=2, margin=1.0), point["steps"], point["learning_rate"]
    smooth = not net.phi.name.startswith("relu")
    falling = math.ceil(math.log10(rate / point["final_rate"])) + 1
    pinning = Adam(lr=rate, decay_every=max(1, steps // 2 // falling), floor=point["final_rate"])
    w = net.initial_weights(point["seed"], "orthogonal")
    stages = [train(net, w, x, y, loss=loss, integrator=Adam(rate), stop=Stop(max_steps=steps))]
    before, used = math.inf, torch.ones(len(x), dtype=torch.bool)
    for _ in range(1 if smooth else rounds):
        w = stages[-1].w
        now = heard(net, w, x) if drop_silent else used
        # What was fitted stays fitted without some of it; forces at rest are of exactly these.
        others = now & ~used if stages[-1].status == "converged" else now ^ used
        if stages[-1].status != "out_of_budget" and not others.any():
            break
        used, problem = now, (x[now], y[now])
        descent = minimize(
            net,
            w,
            *problem,
            loss=loss,
            rest=0.0,
            plateau=Plateau(*FLAT) if smooth else None,
            max_iterations=SMOOTH * point["iterations"] if smooth else point["iterations"],
        )
        stages.append(descent)
        if descent.status == "out_of_budget" and not smooth:
            stop = Stop(max_steps=steps // 2)
            pinned = train(net, descent.w, *problem, loss=loss, integrator=pinning, stop=stop)
            stages.append(_judged(net, pinned, *problem, before))
            before = pinned.loss
    result = _joined(stages)
    if drop_silent and result.status == "stalled" and (heard(net, result.w, x) ^ used).any():
        return replace(result, status="out_of_budget")
    return result


def _judged(
    net: FullyConnected, result: TrainResult, x: Tensor, y: Tensor, before: float
) -> TrainResult:
    """The end of a round of a relu net, with the gradient and the status that kinks leave it."""
    from symscape.dynamics import Hinge
    from symscape.landscape import least_gradient

    if result.status != "out_of_budget":
        return result
    norm = least_gradient(net, result.w, x, y, Hinge(power=2, margin=1.0), KINK).norm
    flat = result.loss > (1 - FLAT[1]) * before
    resting = flat and norm <= REST * math.sqrt(result.loss)
    return replace(result, grad_norm=norm, status="stalled" if resting else result.status)


def _joined(stages: list[TrainResult]) -> TrainResult:
    """The last stage, with the steps and histories of all."""
    before = np.cumsum([0, *(stage.steps for stage in stages)])
    history = {
        name: np.concatenate([stage.history[name] for stage in stages])
        for name in stages[0].history
    }
    history["step"] = np.concatenate(
        [stage.history["step"] + start for stage, start in zip(stages, before)]
    )
    return replace(stages[-1], steps=int(before[-1]), history=history)


def run_seconds(point: dict[str, Any]) -> float:
    """About how long :func:`measure_run` takes: a few rounds, on one core."""
    weights = point["L"] * point["h"] ** 2
    steps = 5 * point["steps"] + 4 * point["iterations"]
    return float(steps * (1e-4 + 4e-10 * point["P"] * weights))


def measure_run(
    point: dict[str, Any],
    x: Tensor,
    y: Tensor,
    fresh: Tensor,
    test: tuple[Tensor, Tensor] | None = None,
) -> dict[str, Any]:
    """Train, then count constraints, spectra, overlaps and cusps.

    Args:
        point: activation, L, h, d, and what :func:`train_hinge` needs.
        x: training inputs, (P, d).
        y: labels -1 or +1, (P,).
        fresh: as many inputs that were not trained on, (P, d).
        test: inputs and labels for the test error, where there are any.

    Patterns that are silent at the end are left out of everything, as they are of the training
    (:func:`train_hinge`): their loss says nothing of jamming, and near the transition it would be
    all that is left.

    Returns:
        Scalars: n_weights, n_parameters, status, steps_taken, n_silent (training patterns that are
        left out), n_delta, misclassified, loss (of the others, over their number), grad_norm (the
        one that decides on rest), with ``test`` also test_error. Arrays: history_step,
        history_n_delta, history_misclassified, history_loss, and overlaps, one for each pattern
        that is not silent. Where the loss is positive, also what :func:`_spectra` and
        :func:`_cusps` give.
    """
    from symscape.landscape import constraints, delta, misclassified
    from symscape.networks import FullyConnected

    net = FullyConnected(d=point["d"], h=point["h"], L=point["L"], activation=point["activation"])
    result, P = train_hinge(net, point, x, y, rounds=ROUNDS, drop_silent=True), len(x)
    kept = heard(net, result.w, x)
    x, y = x[kept], y[kept]
    f = net(result.w, x)
    counts = constraints(f, y)
    overlaps = delta(f, y)
    fits = counts.n_delta == 0 or counts.loss < 1e-12
    measured: dict[str, Any] = {
        "n_weights": net.n_weights,
        "n_parameters": net.n_parameters,
        "status": _status(fits, result.status),
        "steps_taken": result.steps,
        "n_silent": P - len(x),
        "n_delta": counts.n_delta,
        "misclassified": counts.misclassified,
        "loss": counts.loss,
        "grad_norm": result.grad_norm,
        "history_step": result.history["step"],
        "history_n_delta": result.history["n_delta"],
        "history_misclassified": result.history["misclassified"],
        "history_loss": result.history["loss"],
        "overlaps": overlaps.numpy().astype(np.float32),
    }
    if test is not None:
        measured["test_error"] = misclassified(net(result.w, test[0]), test[1]) / len(test[1])
    if not fits:
        measured.update(_spectra(net, result.w, x, y))
        measured.update(_cusps(net, result.w, x, fresh))
    return measured


def _status(fits: bool, status: Status) -> Status:
    """Of all patterns that are not silent, from that of those of the last round of the training."""
    if fits:
        return "converged"
    return "out_of_budget" if status == "converged" else status


def heard(net: FullyConnected, w: Tensor, x: Tensor) -> Tensor:
    """Patterns that are not silent, (P,) of bool; all, where the net is silent on all."""
    silent = silent_patterns(net, w, x)
    return silent if silent.all() else ~silent


def silent_patterns(net: FullyConnected, w: Tensor, x: Tensor) -> Tensor:
    """Patterns on which every neuron of some layer is off, (P,) of bool.

    A relu net gives all of them one constant output, which no descent changes pattern by pattern.
    """
    import torch

    silent = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    if net.phi.name.startswith("relu"):
        for a in net.preactivations(w, x):
            silent |= (a <= 0).all(1)
    return silent


def _spectra(net: FullyConnected, w: Tensor, x: Tensor, y: Tensor) -> dict[str, Any]:
    """Eigenvalues of H_0, H_p and H, the rank of H_0 and the number of effective parameters."""
    from symscape.dynamics import Hinge
    from symscape.landscape import effective_parameters, h0_spectrum, hessian, inertia, spectra

    loss = Hinge(power=2, margin=1.0)
    eigenvalues = spectra(hessian(net, w, x, y, loss))
    # From the Gram matrix: its zero modes are exact, so that the rank is not a matter of rounding.
    h0 = h0_spectrum(net, w, x, y, loss).numpy()
    return {
        "eigenvalues_h0": h0,
        "eigenvalues_hp": eigenvalues.Hp,
        "eigenvalues_h": eigenvalues.H,
        "rank_h0": inertia(h0, relative=1e-12).n_plus,
        "n_effective": effective_parameters(net, w, x, mixed=True).rank,
    }


def _cusps(net: FullyConnected, w: Tensor, x: Tensor, fresh: Tensor) -> dict[str, Any]:
    """Pre-activations per layer on training and fresh data, and those on the cusp."""
    from symscape.landscape import cusps, ks_outside_peak

    trained = net.preactivations(w, x)
    unseen = net.preactivations(w, fresh)
    counted = cusps([a.numpy() for a in trained])
    cuts = [layer.cut or 0.0 for layer in counted.layers]
    return {
        "n_pinned": sum(int((a.abs() < KINK).sum()) for a in trained),
        "preactivations": np.stack([_histogram(a) for a in trained]),
        "preactivations_fresh": np.stack([_histogram(a) for a in unseen]),
        "cusp_cuts": np.array(cuts),
        "cusp_masses": np.array(counted.masses),
        "n_cusps": counted.n_cusps,
        "n_cusps_fresh": sum(int((a.abs() < cut).sum()) for a, cut in zip(unseen, cuts)),
        "ks_outside_peak": max(
            ks_outside_peak(a.numpy(), b.numpy(), cut) for a, b, cut in zip(trained, unseen, cuts)
        ),
    }


def _histogram(preactivations: Tensor) -> np.ndarray:
    magnitude = np.log10(np.maximum(preactivations.abs().numpy().ravel(), 1e-300))
    return np.histogram(np.clip(magnitude, *PREACTIVATION_EDGES[[0, -1]]), PREACTIVATION_EDGES)[0]

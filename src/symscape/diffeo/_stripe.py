"""The stripe model: labels that depend on one direction, and the network that finds it out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from symscape._arguments import integer
from symscape.diffeo._noise import noise
from symscape.diffeo._normals import sample_seeds

__all__ = [
    "STRIPE",
    "StripeNetwork",
    "StripeRun",
    "cylinder_labels",
    "stripe_labels",
    "stripe_stability",
    "train_stripe",
]

STRIPE = (-0.3, 1.18549)
"""Bounds of one class along the first direction; it holds half of the normal distribution."""


def stripe_labels(x: Tensor) -> Tensor:
    """Labels +1 for points between the two planes of :data:`STRIPE`, -1 outside.

    Args:
        x: points, (P, d), from the normal distribution.

    Source: Ch. 4, Section 6.
    """
    inside = (x[:, 0] > STRIPE[0]) & (x[:, 0] < STRIPE[1])
    return torch.where(inside, 1.0, -1.0).to(x.dtype)


def cylinder_labels(x: Tensor, parallel: int) -> Tensor:
    r"""Labels +1 for points inside of a cylinder, -1 outside: they depend on the first directions
    alone, by :math:`\|x_\parallel\| < R`.

    The radius R is the median of the norm, so that each class holds half of the normal
    distribution.

    Args:
        x: points, (P, d), from the normal distribution.
        parallel: number of directions that matter, from 1 to d.

    Raises:
        ValueError: ``parallel`` out of range.

    Source: Ch. 3, paper II, Section 5; Paccolat et al., J. Stat. Mech. (2021) 044001.
    """
    from scipy.special import gammaincinv

    parallel = integer("parallel", parallel, 1, x.shape[1], f"from 1 to d = {x.shape[1]}")
    # |x|^2 / 2 has the gamma distribution of shape parallel / 2
    radius = math.sqrt(2.0 * float(gammaincinv(parallel / 2, 0.5)))
    inside = x[:, :parallel].norm(dim=1) < radius
    return torch.where(inside, 1.0, -1.0).to(x.dtype)


@dataclass(frozen=True)
class StripeNetwork:
    r"""One hidden layer in the mean-field parametrization,
    :math:`f(x)=\frac1h\sum_n\beta_n\,\sigma(\omega_n\cdot x/\sqrt d+b_n)` with
    :math:`\sigma=\sqrt2\,\mathrm{relu}`.

    Attributes:
        omega: (h, d).
        b: (h,).
        beta: (h,).
    """

    omega: Tensor
    b: Tensor
    beta: Tensor

    @classmethod
    def initial(cls, d: int, h: int, seed: int) -> StripeNetwork:
        """All parameters from N(0, 1), in float64."""
        generator = torch.Generator().manual_seed(integer("seed", seed))
        drawn = torch.randn(h, d + 2, generator=generator, dtype=torch.float64)
        return cls(drawn[:, :d].contiguous(), drawn[:, d].clone(), drawn[:, d + 1].clone())

    def __call__(self, x: Tensor) -> Tensor:
        """The outputs (P,) for x (P, d)."""
        return self.hidden(x) @ self.beta / len(self.beta)

    def hidden(self, x: Tensor) -> Tensor:
        """The neurons, (P, h)."""
        z = torch.addmm(self.b, x, self.omega.T, alpha=1.0 / math.sqrt(x.shape[1]))
        return z.relu_().mul_(math.sqrt(2.0))

    def amplification(self) -> float:
        r""":math:`\Lambda`: weights along the direction that matters over those along one of the
        others, :math:`\sqrt{\langle\omega_\parallel^2\rangle/\langle\omega_\perp^2\rangle}`."""
        squares = self.omega.square()
        return float((squares[:, 0].mean() / squares[:, 1:].mean()).sqrt())


@dataclass(frozen=True)
class StripeRun:
    """A trained network of the stripe model.

    Attributes:
        initial: the network at the start.
        network: the network at the end.
        steps: Euler steps that were kept.
        fitted: fraction of training points with y F > 1.
        loss: mean of max(0, 1 - y F).
        stopped: ``"fitted"``; ``"steps"`` where the limit came first; or ``"stuck"`` where no step
            changes the weights: the gradient is zero, or every step that does is too long.
    """

    initial: StripeNetwork
    network: StripeNetwork
    steps: int
    fitted: float
    loss: float
    stopped: str

    def predictor(self, x: Tensor) -> Tensor:
        """The outputs without those of the start, (P,); alpha times it is F."""
        return self.network(x) - self.initial(x)


def train_stripe(
    x: Tensor,
    h: int,
    *,
    alpha: float,
    seed: int,
    max_dgrad: float = 1e-2,
    max_dout: float = 0.3,
    fraction: float = 1.0,
    max_steps: int = 100_000,
) -> StripeRun:
    r"""Gradient flow of the hinge loss :math:`\frac1{\alpha P}\sum_\mu\max(0, 1-y_\mu F_\mu)` with
    :math:`F=\alpha(f-f_0)`, on the labels of the stripe.

    Euler steps; one is kept if the gradient changes by :math:`\|g-g'\|^2/(\|g\|\|g'\|)` below
    ``max_dgrad`` and no F by more than ``max_dout``, and is tried again ten times shorter
    otherwise.

    Args:
        x: training points, (P, d), float64.
        h: neurons.
        alpha: small for feature learning.
        seed: of the network.
        max_dgrad: see above.
        max_dout: see above.
        fraction: end when more than this fraction of the points has y F > 1; 1: at zero loss.
        max_steps: end after so many steps.

    Raises:
        ValueError: a value out of its bounds.

    Source: Ch. 4, Section 6; Ch. 3, paper I, Section 2.
    """
    _check_points(x, h)
    for name, value in (("alpha", alpha), ("max_dgrad", max_dgrad), ("max_dout", max_dout)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name}: {value!r} given; allowed: a finite number > 0")
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction: {fraction!r} given; allowed: above 0, up to 1")
    y, initial = stripe_labels(x), StripeNetwork.initial(x.shape[1], h, seed)
    f0 = initial(x)
    network, dt, steps, stuck = initial, 1.0, 0, False
    F, gradient = torch.zeros_like(y), _gradient(initial, x, y, torch.zeros_like(y))
    while steps < max_steps and not _is_fitted(y * F, fraction):
        moved = _stepped(network, gradient, dt)
        stuck = dt == 0 or _same(network, moved)
        if stuck:
            break
        F_moved = alpha * (moved(x) - f0)
        gradient_moved = _gradient(moved, x, y, F_moved)
        dout = float((F_moved - F).abs().max())
        dgrad = _relative_change(gradient, gradient_moved)
        if not (dgrad < max_dgrad and dout < max_dout):
            dt /= 10.0
            continue
        network, F, gradient, steps = moved, F_moved, gradient_moved, steps + 1
        if dgrad < 0.5 * max_dgrad and dout < 0.5 * max_dout:
            dt *= 1.1
    fitted = float((y * F > 1).double().mean())
    stopped = "fitted" if _is_fitted(y * F, fraction) else "stuck" if stuck else "steps"
    loss = float((1.0 - y * F).clamp_min(0.0).mean())
    return StripeRun(initial, network, steps, fitted, loss, stopped)


def stripe_stability(run: StripeRun, x: Tensor, amplitude: float, seed: int) -> float:
    r"""The relative stability of the stripe model, with means:

    .. math::
        R_f=\frac{\langle\|f(x_\parallel,x_\perp+\nu)-f(x)\|^2\rangle}
        {\langle\|f(x+\eta)-f(x)\|^2\rangle},\qquad\|\nu\|=\|\eta\| ,

    with nu in the directions on which the labels do not depend.

    Args:
        run: the trained network.
        x: fresh points, (P, d).
        amplitude: the norm of nu and eta.
        seed: of nu and eta.

    Returns:
        R_f; NaN where the predictor is constant.

    Source: Ch. 4, Eq. 6.
    """
    P, d = x.shape
    norms = torch.tensor(amplitude, dtype=torch.float64)
    seeds = sample_seeds(seed, 2 * P)
    nu = torch.zeros_like(x)
    nu[:, 1:] = noise((d - 1,), norms, seeds[:P], x.dtype)
    eta = noise((d,), norms, seeds[P:], x.dtype)
    f = run.predictor(x)
    along, isotropic = ((run.predictor(x + e) - f).square().mean() for e in (nu, eta))
    return float(along / isotropic) if float(isotropic) > 0 else math.nan


def _check_points(x: Tensor, h: int) -> None:
    if x.ndim != 2 or len(x) < 1 or x.shape[1] < 2 or x.dtype != torch.float64:
        raise ValueError(
            f"x: {x.dtype} of shape {tuple(x.shape)} given; allowed: torch.float64, (P, d), "
            "P >= 1 and d >= 2"
        )
    if not bool(x.isfinite().all()):
        raise ValueError("x: NaN or infinite entries given; allowed: finite ones")
    integer("h", h, 1)


def _stepped(
    network: StripeNetwork, gradient: tuple[Tensor, Tensor, Tensor], dt: float
) -> StripeNetwork:
    """The network after an Euler step."""
    return StripeNetwork(
        network.omega - dt * gradient[0],
        network.b - dt * gradient[1],
        network.beta - dt * gradient[2],
    )


def _same(one: StripeNetwork, other: StripeNetwork) -> bool:
    """Whether all weights are equal: a step was zero, or lost in rounding."""
    return (
        torch.equal(one.beta, other.beta)
        and torch.equal(one.b, other.b)
        and torch.equal(one.omega, other.omega)
    )


def _gradient(
    network: StripeNetwork, x: Tensor, y: Tensor, F: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Derivatives of the loss with respect to omega, b and beta; zero where every y F > 1."""
    active = y * F < 1
    x, y_active = x[active], y[active]
    hidden = network.hidden(x)
    df = -y_active / (len(y) * len(network.beta))
    to_beta = hidden.T @ df
    dz = torch.outer(df, network.beta * math.sqrt(2.0)).mul_(hidden > 0)
    return dz.T @ x / math.sqrt(x.shape[1]), dz.sum(0), to_beta


def _relative_change(g: tuple[Tensor, ...], h: tuple[Tensor, ...]) -> float:
    """|g - g'|^2 / (|g| |g'|), 0 where a norm vanishes."""
    squares = [sum(float(p.square().sum()) for p in part) for part in (g, h)]
    change = sum(float((p - q).square().sum()) for p, q in zip(g, h, strict=True))
    product = math.sqrt(squares[0] * squares[1])
    return change / product if product > 0 else 0.0


def _is_fitted(margins: Tensor, fraction: float) -> bool:
    share = float((margins > 1).double().mean())
    return share >= 1 if fraction == 1 else share > fraction

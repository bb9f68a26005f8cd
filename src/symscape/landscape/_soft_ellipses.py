r"""Soft ellipses in the plane: the class of jamming to which networks belong (paper A, Fig. 2).

Two ellipses with centers r apart touch when both are scaled by :math:`\sqrt\zeta`, where

.. math:: \zeta = \max_{0<\lambda<1} F(\lambda), \qquad F(\lambda) = \lambda(1-\lambda)\,
    r^T [(1-\lambda) A_i + \lambda A_j]^{-1} r ,

and A has the squares of the half axes as eigenvalues (Perram and Wertheim, J. Comput. Phys. 58,
409, 1985). They overlap by :math:`\Delta = 1 - \sqrt\zeta` where that is positive, and the energy
is :math:`U = \sum\Delta^2/2`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from symscape._arguments import integer, refused
from symscape.landscape._hessian import HessianParts
from symscape.landscape._soft_spheres import unloaded

__all__ = ["EllipsePacking", "jam_ellipses", "minimize_ellipses"]

Array = NDArray[np.float64]

_NEWTON_STEPS = 4


@dataclass(frozen=True)
class EllipsePacking:
    """Ellipses of one aspect ratio in a periodic square of side 1.

    Attributes:
        centers: ``(n, 2)``.
        angles: of the long axes, ``(n,)``.
        sizes: half of the short axes, ``(n,)``, positive.
        aspect: long over short axis, >= 1.
    """

    centers: Array
    angles: Array
    sizes: Array
    aspect: float

    def __post_init__(self) -> None:
        if not 1 <= self.aspect < math.inf:
            raise refused("aspect", self.aspect, "a number >= 1")
        longest = float(self.sizes.max()) * self.aspect
        if not 0 < float(self.sizes.min()) <= longest < 0.25:
            raise ValueError(
                f"sizes: half axes up to {longest:.4g} given; allowed: below 0.25, so that a pair "
                "touches only once through the walls: use more particles"
            )

    @property
    def n(self) -> int:
        """Number of ellipses."""
        return len(self.sizes)

    @property
    def packing_fraction(self) -> float:
        """Area of the ellipses, overlaps counted twice, over that of the box."""
        return float(math.pi * self.aspect * np.sum(self.sizes**2))

    def rescaled(self, packing_fraction: float) -> EllipsePacking:
        """The same places with all sizes scaled to a packing fraction."""
        factor = math.sqrt(packing_fraction / self.packing_fraction)
        return replace(self, sizes=self.sizes * factor)

    @property
    def coordinates(self) -> Array:
        """Centers, and angles times the root-mean-square size: all lengths, ``(3 n,)``."""
        return np.r_[self.centers.ravel(), self.angles * self._lever]

    def moved(self, coordinates: Array) -> EllipsePacking:
        """The packing at other coordinates."""
        centers, angles = coordinates[: 2 * self.n], coordinates[2 * self.n :] / self._lever
        return replace(self, centers=centers.reshape(-1, 2) % 1.0, angles=angles)

    @property
    def _lever(self) -> float:
        return float(np.sqrt(np.mean(self.sizes**2)))

    def overlaps(self) -> tuple[NDArray[np.int64], Array]:
        """Pairs (i, j) that overlap, ``(M, 2)``, and their ``Delta``, ``(M,)``."""
        pairs = self.neighbors()
        with torch.no_grad():
            values = self.delta(torch.from_numpy(self.coordinates), pairs).numpy()
        return pairs[values > 0], values[values > 0]

    def energy(self) -> float:
        """``U = sum Delta^2 / 2``."""
        return 0.5 * float(np.sum(self.overlaps()[1] ** 2))

    def rattlers(self) -> NDArray[np.bool_]:
        """Mask of the ellipses that bear no load: fewer than three contacts, recursively."""
        pairs, _ = self.overlaps()
        return unloaded(pairs, self.n, 3)

    def hessian(self) -> HessianParts:
        """``H_0`` and ``H_p`` of the energy (paper A, Eq. 3) by all coordinates, ``(3 n, 3 n)``."""
        pairs, _ = self.overlaps()
        at = torch.from_numpy(self.coordinates)
        gradients = torch.autograd.functional.jacobian(lambda x: self.delta(x, pairs), at)
        H = torch.autograd.functional.hessian(
            lambda x: 0.5 * self.delta(x, pairs).clamp(min=0).square().sum(), at
        )
        H0 = gradients.T @ gradients
        return HessianParts(H0, H - H0)

    def neighbors(self) -> NDArray[np.int64]:
        """Pairs (i, j), i < j, whose circumscribed circles overlap, ``(M, 2)``."""
        i, j = np.triu_indices(self.n, 1)
        apart = self.centers[i] - self.centers[j]
        apart -= np.round(apart)
        near = np.hypot(*apart.T) < self.aspect * (self.sizes[i] + self.sizes[j])
        return np.stack([i[near], j[near]], 1)

    def delta(self, coordinates: Tensor, pairs: NDArray[np.int64]) -> Tensor:
        """``Delta`` of pairs, ``(M,)``, differentiable twice in the coordinates, ``(3 n,)``."""
        r, A, B, _ = self._geometry(coordinates, pairs)
        at = _touching_point(r, A, B)
        # One more Newton step makes it a function with the derivatives of the maximum.
        _, slope, curvature = _profile(at, r, A, B)
        return 1.0 - _profile(at - slope / curvature, r, A, B)[0].sqrt()

    def energy_and_gradient(self) -> tuple[float, Array]:
        """``U`` and its gradient by the coordinates, ``(3 n,)``.

        At the maximum over lambda the derivatives of zeta are those of F.
        """
        pairs, n = self.neighbors(), self.n
        r, A, B, axes = self._geometry(torch.from_numpy(self.coordinates), pairs)
        at = _touching_point(r, A, B)
        v = _solve(A + at[:, None, None] * (B - A), r)
        weight = at * (1 - at)
        root = (weight * (r * v).sum(1)).sqrt()
        delta = (1.0 - root).clamp(min=0)
        pull = -delta / root  # dU / d zeta, times two
        i, j = torch.from_numpy(pairs).T
        force = (pull * weight)[:, None] * v
        stretch = torch.from_numpy(self.sizes**2) * (self.aspect**2 - 1)
        gradient = torch.zeros(3 * n, dtype=v.dtype)
        centers, angles = gradient[: 2 * n].view(n, 2), gradient[2 * n :]
        centers.index_add_(0, i, force).index_add_(0, j, -force)
        for k, share in ((i, 1 - at), (j, at)):
            along = (v * axes[k]).sum(1)
            across = v[:, 1] * axes[k, 0] - v[:, 0] * axes[k, 1]
            angles.index_add_(0, k, -pull * weight * share * stretch[k] * along * across)
        return 0.5 * float(delta.square().sum()), (
            torch.cat([gradient[: 2 * n], angles / self._lever]).numpy()
        )

    def _geometry(
        self, coordinates: Tensor, pairs: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Vectors between the centers of pairs, both matrices A of each, and all long axes."""
        centers = coordinates[: 2 * self.n].reshape(-1, 2)
        angles = coordinates[2 * self.n :] / self._lever
        axes = torch.stack([angles.cos(), angles.sin()], 1)
        squares = torch.from_numpy(self.sizes**2)[:, None, None]
        eye = torch.eye(2, dtype=coordinates.dtype)
        A = squares * (eye + (self.aspect**2 - 1) * axes[:, :, None] * axes[:, None, :])
        i, j = torch.from_numpy(pairs).T
        apart = centers[i] - centers[j]
        return apart - apart.detach().round(), A[i], A[j], axes


def _touching_point(r: Tensor, A: Tensor, B: Tensor) -> Tensor:
    """Lambda at the maximum of F for each pair, ``(M,)``, without derivatives.

    F is concave: Newton steps lead there from the point of contact of two disks.
    """
    with torch.no_grad():
        a, b = ((M[:, 0, 0] + M[:, 1, 1]).sqrt() for M in (A, B))
        at = a / (a + b)
        for _ in range(_NEWTON_STEPS):
            _, slope, curvature = _profile(at, r, A, B)
            at = (at - slope / curvature).clamp(0.01, 0.99)
    return at


def _profile(at: Tensor, r: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """F and its two derivatives by lambda."""
    turn = B - A
    M = A + at[:, None, None] * turn
    v = _solve(M, r)
    w = (turn @ v[:, :, None])[:, :, 0]
    q, dq, ddq = (r * v).sum(1), -(v * w).sum(1), 2 * (w * _solve(M, w)).sum(1)
    g, dg = at * (1 - at), 1 - 2 * at
    return g * q, dg * q + g * dq, -2 * q + 2 * dg * dq + g * ddq


def _solve(M: Tensor, r: Tensor) -> Tensor:
    """``M^-1 r`` for matrices of two rows."""
    (a, b), (c, d) = M[:, 0].T, M[:, 1].T
    x, y = r.T
    return torch.stack([d * x - b * y, a * y - c * x], 1) / (a * d - b * c)[:, None]


def minimize_ellipses(
    packing: EllipsePacking, *, tolerance: float = 1e-6, max_iterations: int = 3000
) -> EllipsePacking:
    """Move and turn the ellipses to a minimum of the energy (scipy's L-BFGS-B).

    Hypostatic packings have many soft modes, which take thousands of iterations near jamming.

    Args:
        packing: start.
        tolerance: largest derivative of the energy at the end, in units of the squared rms overlap
            over the side of the box.
        max_iterations: limit.
    """
    _, overlaps = packing.overlaps()
    if overlaps.size == 0:
        return packing
    unit = float(np.sqrt(np.mean(overlaps**2)))

    def scaled(coordinates: Array) -> tuple[float, Array]:
        energy, gradient = packing.moved(coordinates).energy_and_gradient()
        return energy / unit**2, gradient / unit**2

    found = minimize(
        scaled,
        packing.coordinates,
        jac=True,
        method="L-BFGS-B",
        options={
            "maxcor": 30,
            "ftol": 0.0,
            "gtol": tolerance,
            "maxiter": max_iterations,
            "maxfun": 2 * max_iterations,
        },
    )
    return packing.moved(found.x)


def jam_ellipses(
    n: int, aspect: float, *, seed: int = 0, target: float = 1e-8, max_states: int = 40
) -> EllipsePacking:
    """Decompress a random packing to just above its jamming point.

    As :func:`jam_spheres`: each step extrapolates ``sqrt(U)`` to zero and closes 70 % of the
    distance; a step that unjams is halved and repeated. Half of the ellipses are 1.4 times larger.

    Args:
        n: number of ellipses.
        aspect: long over short axis.
        seed: of the random start.
        target: energy per ellipse to reach (overlaps are relative: ``Delta`` has no unit).
        max_states: limit on the number of minimizations.

    Raises:
        ValueError: see :class:`EllipsePacking`.
        RuntimeError: the target was not reached.
    """
    n = integer("n", n, 2)
    random = np.random.default_rng(seed)
    sizes = np.where(np.arange(n) < n // 2, 1.0, 1.4) * 0.2 / n
    start = EllipsePacking(random.random((n, 2)), random.random(n) * math.pi, sizes, aspect)
    phi, guess, unjammed = 0.95, 0.85, 0.0
    packing = minimize_ellipses(start.rescaled(phi), tolerance=1e-3)
    root = math.sqrt(packing.energy() / n)
    for _ in range(max_states):
        aim = max(phi - 0.7 * (phi - guess), 0.5 * (phi + unjammed))
        candidate = minimize_ellipses(packing.rescaled(aim), tolerance=1e-4, max_iterations=1000)
        if candidate.energy() / n <= target:
            candidate = minimize_ellipses(candidate)
        energy = candidate.energy() / n
        if energy < 0.01 * target:
            unjammed, guess = aim, max(guess, 0.5 * (phi + aim))
            continue
        slope = (root - math.sqrt(energy)) / (phi - aim)
        packing, phi, root = candidate, aim, math.sqrt(energy)
        if energy <= target:
            return packing
        guess = phi - root / slope if slope > 0 else 0.5 * (phi + unjammed)
    raise RuntimeError(f"energy per ellipse {root**2:.2g} after {max_states} states: {target:.2g}")

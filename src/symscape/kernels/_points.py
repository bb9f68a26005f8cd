"""Random points of the torus, the sphere and the cube."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from symscape._arguments import integer
from symscape.kernels._kernel import points

Array = NDArray[np.float64]
Domain = Literal["sphere", "torus", "cube"]


def random_points(domain: Domain, n: int, d: int, seed: int) -> Array:
    r"""Independent uniform points of a domain of d dimensions.

    Args:
        domain: ``"sphere"``: the unit sphere :math:`S^d` in :math:`\mathbb R^{d+1}`;
            ``"torus"``: :math:`[0,1)^d` with opposite faces joined, see :func:`on_torus`, in
            :math:`\mathbb R^{2d}`; ``"cube"``: :math:`[0,1]^d`.
        n: number of points.
        d: dimension of the domain, not of the space around it.
        seed: of the drawing.

    Returns:
        Coordinates, (n, d + 1), (n, 2 d) or (n, d).

    Raises:
        ValueError: unknown domain, n or d below 1.
    """
    n, d = integer("n", n, 1), integer("d", d, 1)
    random = np.random.default_rng(integer("seed", seed, 0))
    if domain == "sphere":
        x = random.standard_normal((n, d + 1))
        return x / np.linalg.norm(x, axis=1, keepdims=True)
    if domain == "torus":
        return on_torus(random.random((n, d)))
    if domain == "cube":
        return random.random((n, d))
    raise ValueError(f"domain must be sphere, torus or cube; got {domain!r}")


def on_torus(u: ArrayLike, side: float = 1.0) -> Array:
    r"""Points of :math:`[0,L)^d` as points of the flat torus in :math:`\mathbb R^{2d}`.

    Each coordinate is wound around a circle of circumference L. Every kernel that is positive
    definite in :math:`\mathbb R^{2d}` is so on the torus, and close points keep their distance:
    :math:`R^2=\sum_i(L/\pi)^2\sin^2(\pi(u_i-v_i)/L)`. (A kernel cut off at half of L is not
    positive definite.)

    Args:
        u: coordinates, (n, d).
        side: the circumference L.

    Raises:
        ValueError: wrong shape, or side not positive.
    """
    u = points(u, "u")
    if not side > 0:
        raise ValueError(f"side must be positive; got {side}")
    angle = 2 * math.pi * u / side
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1) * (side / (2 * math.pi))

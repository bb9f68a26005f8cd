"""Double descent in random-feature regression: the exact asymptotics and finite sizes (Ch. 8.1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from symscape._arguments import integer, refused

Array = NDArray[np.float64]
Activation = Callable[[Array], Array]

_RIDGELESS = 1e-12


@dataclass(frozen=True)
class Moments:
    r"""Moments of an activation of a standard normal G.

    Attributes:
        mean: :math:`\mu_0=\mathbb E\,\phi(G)`.
        linear: :math:`\mu_1=\mathbb E\,G\phi(G)`.
        rest: :math:`\mu_*`, :math:`\mu_*^2=\mathbb E\,\phi(G)^2-\mu_0^2-\mu_1^2`.
    """

    mean: float
    linear: float
    rest: float


def relu(z: Array) -> Array:
    """The activation max(0, z)."""
    return np.maximum(z, 0.0)


def activation_moments(activation: Activation = relu) -> Moments:
    """Moments by Gauss-Legendre quadrature on unit intervals, so that a kink at 0 is no obstacle.

    Raises:
        ValueError: the activation has no nonlinear part.
    """
    node, weight = np.polynomial.legendre.leggauss(24)
    left = np.arange(-12, 12)[:, None]
    z = (left + 0.5 * (node + 1)).ravel()
    mass = np.tile(0.5 * weight, 24) * np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    f = activation(z)
    mu0, mu1, second = (float(mass @ g) for g in (f, z * f, f * f))
    rest = second - mu0**2 - mu1**2
    if not rest > 1e-12:
        raise ValueError("activation must be nonlinear: then alone its features have full rank")
    return Moments(mu0, mu1, math.sqrt(rest))


@dataclass(frozen=True)
class Target:
    r"""Variances of what is learned: :math:`y=\beta\cdot x+f_{NL}(x)+\text{noise}`.

    Attributes:
        linear: :math:`F_1^2`, variance of the linear part.
        nonlinear: :math:`F_*^2`, variance of a part without linear component.
        noise: :math:`\tau^2`, variance of the noise of the labels.
    """

    linear: float = 1.0
    nonlinear: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        for name, variance in vars(self).items():
            if not 0 <= variance < math.inf:
                raise refused(name, variance, "a finite number >= 0")


def asymptotic_error(
    h_per_d: float,
    P_per_d: float,
    ridge: float,
    target: Target,
    moments: Moments,
    ensemble: float = 1,
) -> float:
    r"""Test error of random-feature regression for :math:`h,P,d\to\infty` (Mei & Montanari 2021).

    The network :math:`f(x)=\sum_{i\le h}a_i\,\phi(\theta_i\cdot x/\sqrt d)`, x and theta uniform on
    the sphere of radius :math:`\sqrt d`, minimizes
    :math:`\frac1P\sum(y-f)^2+\frac hd\,\text{ridge}\,\|a\|^2`. The error is the mean squared
    distance from the target without its noise, and tends to

    .. math::
        F_1^2\,\mathcal B+(\tau^2+F_*^2)\,\mathcal V+F_*^2 .

    The mean of very many independent networks is kernel regression with a larger ridge
    :math:`\tilde r` (Jacot et al. 2020), :math:`P/d\;r=\tilde\kappa\,(1-\frac1h\mathrm{tr}\,
    \mathbb K(\mathbb K+\tilde\kappa)^{-1})`, :math:`\tilde\kappa=P/d\;\tilde r`; a finite number K
    adds 1/K of the variance over features.

    Args:
        h_per_d: width over dimension, ``math.inf`` allowed.
        P_per_d: number of points over dimension.
        ridge: the ridge, 0 for the minimum-norm interpolator.
        target: variances of the target.
        moments: of the activation.
        ensemble: networks of which the mean is taken, ``math.inf`` allowed.

    Returns:
        The error: infinite for finitely many networks without a ridge where h = P.

    Raises:
        ValueError: a ratio that is not positive, an infinite ``P_per_d``, a negative ridge, an
            ensemble below 1.
    """
    if not (h_per_d > 0 and 0 < P_per_d < math.inf):
        raise ValueError(
            f"h_per_d must be positive, P_per_d positive and finite; got {h_per_d} and {P_per_d}"
        )
    if not (0 <= ridge < math.inf and ensemble >= 1):
        raise ValueError(f"ridge >= 0 and ensemble >= 1; got {ridge} and {ensemble}")
    if ensemble == 1:
        return _mei_montanari(h_per_d, P_per_d, ridge, target, moments)
    larger = _ensemble_ridge(h_per_d, P_per_d, ridge, moments)
    mean = _mei_montanari(math.inf, P_per_d, larger, target, moments)
    if ensemble == math.inf:
        return mean
    single = _mei_montanari(h_per_d, P_per_d, ridge, target, moments)
    return mean + (single - mean) / ensemble


def simulate_random_features(
    d: int,
    widths: ArrayLike,
    P: int,
    ridge: float,
    target: Target,
    seed: int,
    *,
    ensemble: int = 1,
    n_test: int = 1000,
    activation: Activation = relu,
) -> tuple[Array, Array]:
    r"""Random-feature regression at finite size, on one data set.

    The nonlinear part of the target is :math:`F_*\,x^\top Gx` with a random symmetric traceless G
    of the right norm.

    Args:
        d: dimension of the inputs, on the sphere of radius :math:`\sqrt d`.
        widths: numbers h of features.
        P: number of training points.
        ridge: as in :func:`asymptotic_error`.
        target: variances of the target.
        seed: of data, target and features.
        ensemble: independent networks.
        n_test: test points.
        activation: of the features.

    Returns:
        Mean error of single networks, and error of their mean prediction, both (widths,).

    Raises:
        ValueError: sizes below 1, a negative ridge.
    """
    sizes = [integer("widths", h, 1) for h in np.atleast_1d(np.asarray(widths)).tolist()]
    d, P, n_test = integer("d", d, 1), integer("P", P, 1), integer("n_test", n_test, 1)
    ensemble = integer("ensemble", ensemble, 1)
    if not 0 <= ridge < math.inf:
        raise refused("ridge", ridge, "a number >= 0")
    random = np.random.default_rng(integer("seed", seed, 0))
    x, x_test = _sphere(random, P, d), _sphere(random, n_test, d)
    clean, clean_test = _values(random, x, x_test, target)
    y = clean + math.sqrt(target.noise) * random.standard_normal(P)
    single, together = [], []
    for h in sizes:
        predictions = []
        for _ in range(ensemble):
            theta = _sphere(random, h, d)
            features, features_test = (activation(u @ theta.T / math.sqrt(d)) for u in (x, x_test))
            predictions.append(features_test @ _readout(features, y, ridge * h * P / d))
        outputs = np.stack(predictions)
        single.append(float(np.square(outputs - clean_test).mean()))
        together.append(float(np.square(outputs.mean(axis=0) - clean_test).mean()))
    return np.array(single), np.array(together)


def _readout(features: Array, y: Array, ridge: float) -> Array:
    """Minimum-norm or ridge solution, through the smaller Gram matrix where it is regular."""
    P, h = features.shape
    # Close to h = P the Gram matrices square a condition number that is large already.
    if ridge == 0 and 2 * P < 3 * h < 4.5 * P:
        return np.asarray(np.linalg.lstsq(features, y, rcond=None)[0])
    if h > P:
        dual = np.asarray(np.linalg.solve(features @ features.T + ridge * np.eye(P), y))
        return features.T @ dual
    return np.asarray(np.linalg.solve(features.T @ features + ridge * np.eye(h), features.T @ y))


def _sphere(random: np.random.Generator, n: int, d: int) -> Array:
    x = random.standard_normal((n, d))
    norm: Array = np.linalg.norm(x, axis=1, keepdims=True)
    return x * (math.sqrt(d) / norm)


def _values(
    random: np.random.Generator, x: Array, x_test: Array, target: Target
) -> tuple[Array, Array]:
    d = x.shape[1]
    beta = _sphere(random, 1, d)[0] * math.sqrt(target.linear / d)
    G = random.standard_normal((d, d))
    G = G + G.T
    G -= np.eye(d) * np.trace(G) / d
    # The variance of x G x on the sphere of radius sqrt(d) is 2 |G|^2 d / (d + 2).
    norm = math.sqrt(2 * d / (d + 2)) * np.linalg.norm(G)
    G *= math.sqrt(target.nonlinear) / norm if norm > 0 else 0.0
    train, test = (u @ beta + np.einsum("ni,ij,nj->n", u, G, u, optimize=True) for u in (x, x_test))
    return train, test


def _mei_montanari(psi1: float, psi2: float, ridge: float, target: Target, m: Moments) -> float:
    """Theorem 2 of Mei & Montanari; psi1 = inf is its limit, taken at a very large number."""
    zeta2 = (m.linear / m.rest) ** 2
    psi1 = min(psi1, 1e7 * max(1.0, psi2))
    noise = target.noise + target.nonlinear
    relative_ridge = ridge / m.rest**2
    # The pole; closer to it than this, E0 below is made of rounding.
    if relative_ridge <= _RIDGELESS and math.isclose(psi1, psi2, rel_tol=1e-13):
        return math.inf if target.linear + noise > 0 else 0.0
    chi = _chi(psi1, psi2, relative_ridge, zeta2)
    z2, z4, z6 = zeta2, zeta2**2, zeta2**3
    p = psi1 * psi2
    E0 = (
        -(chi**5) * z6
        + 3 * chi**4 * z4
        + (p - psi2 - psi1 + 1) * chi**3 * z6
        - 2 * chi**3 * z4
        - 3 * chi**3 * z2
        + (psi1 + psi2 - 3 * p + 1) * chi**2 * z4
        + 2 * chi**2 * z2
        + chi**2
        + 3 * p * chi * z2
        - p
    )
    E1 = psi2 * chi**3 * z4 - psi2 * chi**2 * z2 + p * chi * z2 - p
    E2 = (
        chi**5 * z6
        - 3 * chi**4 * z4
        + (psi1 - 1) * chi**3 * z6
        + 2 * chi**3 * z4
        + 3 * chi**3 * z2
        - (psi1 + 1) * chi**2 * z4
        - 2 * chi**2 * z2
        - chi**2
    )
    return target.linear * E1 / E0 + noise * E2 / E0 + target.nonlinear


def _chi(psi1: float, psi2: float, ridge: float, zeta2: float) -> float:
    r"""The negative number :math:`\chi=\nu_1\nu_2` at :math:`\xi=i\sqrt{\psi_1\psi_2\,r}`.

    On the imaginary axis :math:`\nu=i\,n` with positive n, so that the two equations are real:
    :math:`n_1(\sqrt{\psi_1\psi_2r}+n_2(1+\zeta^2/(1-\zeta^2\chi)))=\psi_1`, the same with 1 and 2
    exchanged, and :math:`\chi=-n_1n_2`.
    """
    s = math.sqrt(psi1 * psi2 * max(ridge, 0.0))

    def excess(log_x: float) -> float:
        x = math.exp(log_x)  # - chi
        A = x * (1 + zeta2 / (1 + zeta2 * x))
        # n1 s = psi1 - A and n2 s = psi2 - A, whose product is s^2 x
        return (psi1 - A) * (psi2 - A) - s * s * x

    # A grows with x from 0 and is the smaller ratio at the top: chi without a ridge.
    smaller = min(psi1, psi2)
    top = _positive_root(zeta2, 1 + zeta2 - zeta2 * smaller, smaller)
    high = math.log(top)
    if ridge <= _RIDGELESS or excess(high) >= 0:  # the ridge is below the rounding
        return -top
    # Well below the root, where both A are small beside the ratios and x beside 1 / ridge.
    low = high - math.log1p(ridge) - math.log1p(zeta2) - 60.0
    return -math.exp(brentq(excess, low, high, xtol=1e-15, rtol=1e-14))


def _positive_root(a: float, b: float, c: float) -> float:
    """The positive root of a x^2 + b x = c, for a >= 0 and c > 0, without cancellation."""
    root = math.sqrt(b * b + 4 * a * c)
    return 2 * c / (b + root) if b > 0 else (root - b) / (2 * a)


def _ensemble_ridge(psi1: float, psi2: float, ridge: float, m: Moments) -> float:
    """The ridge of the kernel regression that the mean of very many networks performs."""

    def degrees(kappa: float) -> float:
        """tr K (K + kappa)^-1 / h with K = mu1^2 x x / d + mu*^2."""
        return (1 - kappa * _resolvent(m.rest**2 + kappa, m.linear**2, psi2)) * psi2 / psi1

    def excess(log_kappa: float) -> float:
        kappa = math.exp(log_kappa)
        return kappa * (1 - degrees(kappa)) - psi2 * ridge

    if ridge == 0 and psi1 >= psi2:
        return 0.0
    high = math.log(psi2 * ridge + 10 * (m.rest**2 + m.linear**2 * (1 + math.sqrt(psi2)) ** 2)) + 10
    low = math.log(psi2 * ridge or 1e-14 * m.rest**2) - 1e-9
    if excess(low) >= 0:  # without a ridge, next to the threshold
        return math.exp(low) / psi2
    return math.exp(brentq(excess, low, high, xtol=1e-14)) / psi2


def _resolvent(shift: float, scale: float, psi2: float) -> float:
    """tr (scale X X^T / d + shift)^-1 / P for P = psi2 d points of d standard normal coordinates.

    By Marchenko and Pastur it solves shift scale psi2 R^2 + (shift + scale (1 - psi2)) R = 1.
    """
    return _positive_root(shift * scale * psi2, shift + scale * (1 - psi2), 1.0)

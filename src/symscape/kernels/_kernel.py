"""Isotropic kernels: the Matern family with Laplace and Gaussian as its ends."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gamma, gammaln, kve

from symscape._arguments import integer, refused

Array = NDArray[np.float64]

MAX_ORDER = 100

_ORDERS = {"laplace": 0.5, "gaussian": math.inf}

_TINY = 1e-290
_CLOSE = 1e-8
_CLOSE_BLOCK = 10_000


@dataclass(frozen=True)
class Kernel:
    r"""A Matern kernel of the Euclidean distance R, with K(0) = 1 (Ch. 6, Sec. 3, App. E).

    .. math::
        K(R)=\frac{2^{1-\nu}}{\Gamma(\nu)}\,z^\nu\,\mathcal K_\nu(z),\qquad z=\sqrt{2\nu}\,R/\sigma,

    :math:`e^{-R/\sigma}` for :math:`\nu=1/2` and :math:`e^{-R^2/2\sigma^2}` for
    :math:`\nu=\infty`. Made by :func:`matern`, :func:`laplace` or :func:`gaussian`.

    Args:
        nu: the order, positive and up to 100, or infinite; a larger one is smoother.
        sigma: the length scale, positive (the thesis calls it variance).

    Raises:
        ValueError: nu or sigma out of range.
    """

    nu: float
    sigma: float

    def __post_init__(self) -> None:
        if not (0 < self.nu <= MAX_ORDER or self.nu == math.inf):
            raise ValueError(
                f"nu must be positive and at most {MAX_ORDER}, or infinite; got {self.nu}. Beyond "
                "that the kernel is a Gaussian to 1e-3"
            )
        if not 0 < self.sigma < math.inf:
            raise ValueError(f"sigma must be positive and finite; got {self.sigma}")

    @property
    def name(self) -> str:
        """``"laplace"``, ``"gaussian"`` or ``"matern-1.5"``."""
        known = {order: name for name, order in _ORDERS.items()}
        return known.get(self.nu, f"matern-{self.nu:g}")

    def alpha(self, d: int) -> float:
        r"""Exponent :math:`\alpha=d+2\nu` of :math:`\tilde K(w)\sim w^{-\alpha}` in d dimensions.

        Raises:
            ValueError: d < 1.
        """
        return _dimension(d) + 2 * self.nu

    def radial(self, R: ArrayLike) -> Array:
        """K at the distances R, of any shape."""
        s = np.array(R, dtype=float)
        s *= s
        return self._of_squares(s)

    def __call__(self, x: ArrayLike, y: ArrayLike | None = None) -> Array:
        """The matrix K(x_i, y_j), of shape (n, m); the Gram matrix of x where y is not given.

        Args:
            x: points, (n, D).
            y: points, (m, D).

        Raises:
            ValueError: wrong shapes.
        """
        return self._of_squares(square_distances(x, y))

    def of_square_distances(self, s: Array) -> Array:
        """K as a function of :math:`R^2`, see :func:`square_distances`: one s for many kernels."""
        return self._of_squares(np.array(s, dtype=float))

    def gradient(self, x: ArrayLike, y: ArrayLike) -> Array:
        r"""Derivatives :math:`\partial K(x_i,y_j)/\partial x_i`, of shape (n, m, D).

        Raises:
            ValueError: points coincide and :math:`\nu\le1/2`: the kernel has a cusp there.
        """
        x, y = points(x, "x"), points(y, "y")
        difference = x[:, None] - y[None]
        s = np.square(difference).sum(axis=-1)
        if self.nu <= 0.5 and np.any(s == 0):
            raise ValueError(
                f"x, y: points coincide, where a kernel with nu = {self.nu:g} has no gradient"
            )
        first = np.zeros_like(s)
        first[s > 0] = self._derivative(s[s > 0], 1)
        return 2 * first[..., None] * difference

    def mixed_derivative(self, x: ArrayLike, y: ArrayLike) -> Array:
        r"""Derivatives :math:`\partial^2K(x_i,y_j)/\partial x_i\,\partial y_j`: (n, m, D, D).

        This is the covariance of the gradients of the field (Lemma 2).

        Raises:
            ValueError: points coincide and :math:`\nu\le1`: the field is not differentiable.
        """
        x, y = points(x, "x"), points(y, "y")
        difference = x[:, None] - y[None]
        s = np.square(difference).sum(axis=-1)
        if self.nu <= 1 and np.any(s == 0):
            raise ValueError(
                f"x, y: points coincide, where a kernel with nu = {self.nu:g} has no second "
                "derivative; nu > 1 is needed"
            )
        # -2 g' is finite at s = 0, and g'' (x - y)(x - y) vanishes there.
        first = self._derivative(s, 1)
        second = np.zeros_like(s)
        second[s > 0] = self._derivative(s[s > 0], 2)
        outer = difference[..., :, None] * difference[..., None, :]
        identity = np.eye(x.shape[1])
        return -2 * first[..., None, None] * identity - 4 * second[..., None, None] * outer

    def spectrum(self, w: ArrayLike, d: int) -> Array:
        r"""Fourier transform :math:`\int e^{-iwx}K(x)\,d^dx` at the frequencies :math:`\|w\|`.

        .. math::
            \frac{(4\pi)^{d/2}\,\Gamma(\nu+d/2)}{\Gamma(\nu)}
            \Big(\frac{\sigma^2}{2\nu}\Big)^{d/2}
            \Big(1+\frac{\sigma^2w^2}{2\nu}\Big)^{-\nu-d/2}

        Raises:
            ValueError: d < 1.
        """
        return np.exp(self.log_spectrum(w, d))

    def log_spectrum(self, w: ArrayLike, d: int) -> Array:
        """Logarithm of :meth:`spectrum`, finite where a Gaussian's spectrum is below all numbers.

        Raises:
            ValueError: d < 1.
        """
        d = _dimension(d)
        w2 = np.square(np.asarray(w, dtype=float))
        if math.isinf(self.nu):
            front = 0.5 * d * math.log(2 * math.pi) + d * math.log(self.sigma)
            return front - 0.5 * self.sigma**2 * w2
        scale = self.sigma**2 / (2 * self.nu)
        front = gammaln(self.nu + d / 2) - gammaln(self.nu)
        front += 0.5 * d * math.log(4 * math.pi * scale)
        return front - (self.nu + d / 2) * np.log1p(scale * w2)

    def _of_squares(self, s: Array) -> Array:
        """K as a function of R^2; the array is used up, because Gram matrices are large."""
        if math.isinf(self.nu):
            s *= -0.5 / self.sigma**2
            return np.exp(s, out=s)
        np.sqrt(s, out=s)
        s *= math.sqrt(2 * self.nu) / self.sigma
        if self.nu == 0.5:
            np.negative(s, out=s)
            return np.exp(s, out=s)
        if self.nu in (1.5, 2.5):
            polynomial = 1 + s if self.nu == 1.5 else 1 + s + s * s / 3
            return polynomial * np.exp(-s)
        value = _bessel(s, self.nu) * (2 ** (1 - self.nu) / gamma(self.nu))
        return np.where(s > 0, value, 1.0)

    def _derivative(self, s: Array, order: int) -> Array:
        """Derivative of K by R^2, of first or second order: z^a K_a(z) with a = nu - order."""
        if math.isinf(self.nu):
            factor = (-0.5 / self.sigma**2) ** order
            return factor * np.exp(-0.5 * s / self.sigma**2)
        slope = -self.nu / self.sigma**2  # half of d z^2 / d R^2, with the sign of the recursion
        z = np.sqrt(2 * self.nu * s) / self.sigma
        front = slope**order * 2 ** (1 - self.nu) / gamma(self.nu)
        return front * _bessel(z, self.nu - order)


def laplace(sigma: float) -> Kernel:
    r"""The kernel :math:`e^{-R/\sigma}`."""
    return Kernel(0.5, sigma)


def gaussian(sigma: float) -> Kernel:
    r"""The kernel :math:`e^{-R^2/2\sigma^2}`."""
    return Kernel(math.inf, sigma)


def matern(nu: float, sigma: float) -> Kernel:
    """The Matern kernel of order nu, see :class:`Kernel`."""
    return Kernel(nu, sigma)


def named(name: str, sigma: float) -> Kernel:
    """The kernel of a name, as :attr:`Kernel.name` gives it.

    Args:
        name: ``"laplace"``, ``"gaussian"``, or ``"matern-"`` and the order: ``"matern-1.5"``.
        sigma: the length scale.

    Raises:
        ValueError: another name, or nu or sigma out of range.
    """
    order = re.fullmatch(r"matern-(\d+(?:\.\d+)?)", name)
    if order is None and name not in _ORDERS:
        raise refused("name", name, '"laplace", "gaussian", or "matern-" with its order nu')
    return Kernel(float(order[1]) if order else _ORDERS[name], sigma)


def square_distances(x: ArrayLike, y: ArrayLike | None = None) -> Array:
    """Squares of the distances, (n, m); exactly 0 on the diagonal where y is not given.

    Raises:
        ValueError: wrong shapes.
    """
    own = points(x, "x")
    # Distances are differences of large numbers where the origin is far away.
    center = own.mean(axis=0)
    own = own - center
    other = own
    if y is not None:
        other = points(y, "y")
        if other.shape[1] != own.shape[1]:
            raise ValueError(f"y must have {own.shape[1]} coordinates, as x; got {other.shape[1]}")
        other = other - center
    s = own @ other.T
    s *= -2
    norms = np.square(own).sum(axis=1), np.square(other).sum(axis=1)
    s += norms[0][:, None]
    s += norms[1]
    # Close pairs have lost their digits, of which a cusp of the kernel would show the square root.
    i, j = np.nonzero(s < _CLOSE * (norms[0].max() + norms[1].max()))
    for k in range(0, len(i), _CLOSE_BLOCK):
        rows, columns = i[k : k + _CLOSE_BLOCK], j[k : k + _CLOSE_BLOCK]
        s[rows, columns] = np.square(own[rows] - other[columns]).sum(axis=1)
    return s


def points(x: ArrayLike, name: str) -> Array:
    """Checked points: (n, D), finite."""
    array = np.asarray(x, dtype=float)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} must be points of shape (n, D); got {array.shape}")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite")
    return array


def values(Z: ArrayLike, n: int, name: str = "Z") -> Array:
    """Checked values at n points: (n,) or (n, targets), finite."""
    array = np.asarray(Z, dtype=float)
    if array.shape[:1] != (n,) or array.ndim > 2:
        raise ValueError(f"{name} must be ({n},) or ({n}, targets); got {array.shape}")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite")
    return array


def check_ridge(ridge: float) -> None:
    """Refuse a ridge that is negative, infinite or NaN."""
    if not 0 <= ridge < math.inf:
        raise ValueError(f"ridge must not be negative, infinite or NaN; got {ridge}")


def _dimension(d: int) -> int:
    return integer("d", d, 1)


def _bessel(z: Array, a: float) -> Array:
    """z^a K_a(z), with its limit 2^(a-1) Gamma(a) at 0 for a > 0."""
    value = np.empty_like(z)
    small = z < (_TINY ** (1 / max(abs(a), 1)))
    inside = z[~small]
    # kve is e^z K, so that neither factor underflows or overflows before the product.
    with np.errstate(over="ignore"):
        value[~small] = np.exp(a * np.log(inside) - inside) * kve(a, inside)
    limit = 2 ** (a - 1) * gamma(a) if a > 0 else math.inf
    value[small] = limit
    lost = np.isinf(value) & (z > 0) if a > 2 else np.zeros_like(small)
    # Where a large order makes K_a overflow, z is small: the first terms of its series.
    w = np.square(z[lost]) / 4
    value[lost] = limit * (1 - w / (a - 1) * (1 - w / (2 * (a - 2))))
    return value

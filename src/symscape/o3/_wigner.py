"""Wigner 3j symbols and D matrices in the real basis, for any degree."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from symscape._arguments import integer
from symscape.contraction._context import kept

__all__ = [
    "change_basis_real_to_complex",
    "so3_generators",
    "su2_generators",
    "wigner_3j",
    "wigner_3j_table",
    "wigner_D",
    "wigner_D_from_matrix",
    "wigner_signs",
]

_SIGN_SETS = ("0.6", "0.4")
_signs: ContextVar[str] = ContextVar("signs of wigner_3j", default="0.6")

# powers of -i: complex pow would leave rounding errors in the zero parts
_POWERS = (1, -1j, -1, 1j)


def wigner_3j(
    l1: int,
    l2: int,
    l3: int,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    *,
    signs: str | None = None,
) -> torch.Tensor:
    r"""Wigner 3j symbols :math:`C_{ijk}` in the real basis, the invariant tensor of norm 1.

    .. math:: C_{ijk} = \sum_{i'j'k'} D^{l_1}_{ii'} D^{l_2}_{jj'} D^{l_3}_{kk'} C_{i'j'k'}

    A permutation of the degrees permutes the indices and, if it is odd, multiplies by
    :math:`(-1)^{l_1+l_2+l_3}`. The values come from exact integers (Racah's formula), so they
    are right to a few units in the last place for any degree.

    Args:
        l1: first degree.
        l2: second.
        l3: third, between ``|l1 - l2|`` and ``l1 + l2``.
        dtype: default: torch's default dtype.
        device: default: torch's default device.
        signs: the invariant tensor is unique up to its sign. ``"0.6"``: that of e3nn 0.5 and
            later; ``"0.4"``: that of e3nn 0.4, which differs for some triples of odd sum. None
            takes that of ``wigner_signs``, else ``"0.6"``.

    Returns:
        ``(2 l1 + 1, 2 l2 + 1, 2 l3 + 1)``.

    Raises:
        ValueError: degrees that are negative or violate the triangle inequality, or an unknown
            set of signs.
    """
    values = _real_3j(*_check_triple(l1, l2, l3), _check_signs(signs))
    return torch.tensor(values, dtype=dtype or torch.get_default_dtype(), device=device)


def wigner_3j_table(
    l1: int, l2: int, l3: int, *, signs: str | None = None
) -> tuple[tuple[int, int, int, float], ...]:
    """The non-zeros ``(i, j, k, value)`` of ``wigner_3j``, in row-major order.

    Args:
        l1: first degree.
        l2: second.
        l3: third.
        signs: as in ``wigner_3j``.

    Raises:
        ValueError: as ``wigner_3j``.
    """
    return _table(*_check_triple(l1, l2, l3), _check_signs(signs))


@contextmanager
def wigner_signs(signs: str) -> Iterator[None]:
    """Within the context, ``wigner_3j`` and all that is built from it use this set of signs.

    Args:
        signs: ``"0.6"`` or ``"0.4"``, see ``wigner_3j``. Modules keep the signs that they were
            built with.

    Raises:
        ValueError: another string.
    """
    token = _signs.set(_check_signs(signs))
    try:
        yield
    finally:
        _signs.reset(token)


def _check_signs(signs: str | None) -> str:
    if signs is None:
        return _signs.get()
    if signs not in _SIGN_SETS:
        raise ValueError(f"signs must be one of {', '.join(_SIGN_SETS)}; got {signs!r}")
    return signs


def _check_triple(l1: int, l2: int, l3: int) -> tuple[int, int, int]:
    l1, l2, l3 = integer("l1", l1, 0), integer("l2", l2, 0), integer("l3", l3, 0)
    if not abs(l1 - l2) <= l3 <= l1 + l2:
        raise ValueError(
            f"l3 must be between |l1 - l2| and l1 + l2; got l1 = {l1}, l2 = {l2}, l3 = {l3}"
        )
    return l1, l2, l3


@cache
def _table(l1: int, l2: int, l3: int, signs: str) -> tuple[tuple[int, int, int, float], ...]:
    values = _real_3j(l1, l2, l3, signs)
    i, j, k = np.nonzero(values)
    return tuple(zip(i.tolist(), j.tolist(), k.tolist(), values[i, j, k].tolist(), strict=True))


def _real_3j(l1: int, l2: int, l3: int, signs: str) -> NDArray[np.float64]:
    """From the sorted triple, by the symmetry under permutations."""
    degrees = (l1, l2, l3)
    order = sorted(range(3), key=degrees.__getitem__)
    values = _sorted_real_3j(*(degrees[i] for i in order), signs)
    inversions = sum(order[a] > order[b] for a in range(3) for b in range(a))
    swap = (-1) ** ((3 - inversions) * sum(degrees))
    return swap * np.transpose(values, np.argsort(order))


@cache
def _sorted_real_3j(l1: int, l2: int, l3: int, signs: str) -> NDArray[np.float64]:
    values = _clebsch_gordan(l1, l2, l3).astype(np.complex128) / math.sqrt(2 * l3 + 1)
    for axis, l in enumerate((l1, l2, l3)):
        values = _to_real(values, axis, l, conjugate=axis == 2)
    real = np.ascontiguousarray(values.real)
    if signs == "0.4" and (l1 + l2 + l3) % 2 == 1:
        # e3nn 0.4: for odd sums the first non-zero of the sorted triple is positive
        real *= np.sign(real[real != 0][0])
    real.flags.writeable = False
    return real


def _to_real(
    values: NDArray[np.complex128], axis: int, l: int, conjugate: bool
) -> NDArray[np.complex128]:
    """Contract the complex index ``axis`` with ``change_basis_real_to_complex``.

    Only the entries of equal |m| mix. Halves of equal size cancel exactly here, which a matrix
    product would not do, so what is zero comes out as 0.
    """
    values = np.moveaxis(values, axis, 0)
    phase = _POWERS[l % 4]
    i = 1j
    if conjugate:
        phase, i = complex(phase).conjugate(), -i
    negative, zero, positive = values[:l][::-1], values[l : l + 1], values[l + 1 :]
    positive = positive * (-1.0) ** np.arange(1, l + 1)[:, None, None]
    cosine = (negative + positive) * math.sqrt(0.5)
    sine = i * (positive - negative) * math.sqrt(0.5)
    return np.moveaxis(phase * np.concatenate([sine[::-1], zero, cosine]), 0, axis)


def _clebsch_gordan(l1: int, l2: int, l3: int) -> NDArray[np.float64]:
    r"""Coefficients :math:`\langle l_1 m_1 l_2 m_2 | l_3 m_3 \rangle`, each sum in integers.

    With binomials (:math:`k` from 0, :math:`s = l_1 + l_2 - l_3`)

    .. math:: \sum_k (-1)^k \binom{s}{k} \binom{l_1-l_2+l_3}{l_1-m_1-k}
              \binom{-l_1+l_2+l_3}{l_2+m_2-k}

    times the square root of a ratio of binomials.
    """
    s, a, b = l1 + l2 - l3, l1 - l2 + l3, -l1 + l2 + l3
    rows = [[math.comb(n, k) for k in range(n + 1)] for n in (s, a, b)]
    norms = [[math.comb(2 * l, l + m) for m in range(-l, l + 1)] for l in (l1, l2, l3)]
    numerator = math.comb(2 * l1, s) * math.comb(2 * l2, s)
    denominator = math.comb(l1 + l2 + l3 + 1, s)
    parity = (-1) ** s
    values = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1))
    for m1 in range(-l1, l1 + 1):
        # m3 < 0 follows from m3 > 0 by inversion of all m
        for m2 in range(max(-m1, -l2), min(l3 - m1, l2) + 1):
            m3 = m1 + m2
            first = max(0, l1 - m1 - a, l2 + m2 - b)
            last = min(s, l1 - m1, l2 + m2)
            total = 0
            for k in range(first, last + 1):
                term = rows[0][k] * rows[1][l1 - m1 - k] * rows[2][l2 + m2 - k]
                total += -term if k % 2 else term
            if total == 0:
                continue
            scale = denominator * norms[0][l1 + m1] * norms[1][l2 + m2] * norms[2][l3 + m3]
            value = math.sqrt(numerator * total**2 / scale)
            value = value if total > 0 else -value
            values[l1 + m1, l2 + m2, l3 + m3] = value
            values[l1 - m1, l2 - m2, l3 - m3] = parity * value
    return values


def change_basis_real_to_complex(
    l: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> torch.Tensor:
    r"""Unitary :math:`Q` from the real basis to that of the eigenvectors of the polar rotation.

    :math:`Q D^l(R) Q^\dagger` is the complex matrix of :math:`R`, diagonal
    :math:`e^{i m \alpha}` for a rotation by :math:`\alpha` about y.

    Args:
        l: degree.
        dtype: complex, or the real type of its parts; default: from torch's default dtype.
        device: default: torch's default device.

    Returns:
        ``(2l+1, 2l+1)``, complex; row ``l + m`` is the complex ``m``.
    """
    l = integer("l", l, 0)
    q = np.moveaxis(_to_real(np.eye(2 * l + 1, dtype=complex)[:, :, None], 0, l, False), 0, 1)
    return torch.tensor(q[..., 0], dtype=_complex(dtype), device=device)


def su2_generators(j: int) -> torch.Tensor:
    r"""Anti-Hermitian generators :math:`X_x, X_y, X_z` in the complex basis, ``X_y = i m``.

    :math:`[X_x, X_y] = X_z` and its cyclic permutations.

    Args:
        j: degree.

    Returns:
        ``(3, 2j+1, 2j+1)``, complex, in the precision of torch's default dtype.
    """
    return torch.tensor(_su2_generators(integer("j", j, 0)), dtype=_complex(None))


def so3_generators(l: int) -> torch.Tensor:
    r"""Antisymmetric generators of the rotations about x, y, z in the real basis.

    :math:`D^l` of the rotation by the vector :math:`\omega` is
    :math:`\exp(\sum_a \omega_a X_a)`.

    Args:
        l: degree.

    Returns:
        ``(3, 2l+1, 2l+1)``, real.
    """
    q = change_basis_real_to_complex(l, torch.complex128).numpy()
    generators = np.conj(q.T) @ _su2_generators(l) @ q
    return torch.tensor(generators.real, dtype=torch.get_default_dtype())


def _su2_generators(j: int) -> NDArray[np.complex128]:
    m = np.arange(-j, j + 1)
    ladder = np.diag(np.sqrt(j * (j + 1) - m[:-1] * m[1:]), 1).astype(complex)
    return np.stack([(ladder - ladder.T) / 2, np.diag(1j * m), 1j * (ladder + ladder.T) / 2])


def _complex(dtype: torch.dtype | None) -> torch.dtype:
    dtype = dtype or torch.get_default_dtype()
    return dtype if dtype.is_complex else dtype.to_complex()


def wigner_D(l: int, alpha: torch.Tensor, beta: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    r"""Real matrices :math:`D^l(R_y(\alpha) R_x(\beta) R_y(\gamma))`.

    :math:`Y(\alpha)\, J\, Y(\beta)\, J\, Y(\gamma)`, where :math:`Y` is the rotation about y,
    which is sparse, and :math:`J` the half turn about x + y, which exchanges the two axes. It is
    analytic in the angles and stable for any degree.

    Args:
        l: degree.
        alpha: radians; the shapes broadcast.
        beta: radians.
        gamma: radians.

    Returns:
        ``(..., 2l+1, 2l+1)``, orthogonal.
    """
    l = integer("l", l, 0)
    alpha, beta, gamma = torch.broadcast_tensors(
        *(torch.as_tensor(angle) for angle in (alpha, beta, gamma))
    )
    if not alpha.is_floating_point():
        raise ValueError(f"alpha must be of floating point; got {alpha.dtype}")
    J = _constant((l,), alpha)
    left = _turn_columns(J.expand(*alpha.shape, *J.shape), -alpha).transpose(-1, -2)
    return _turn_columns(_turn_columns(left, beta) @ J, gamma)


def _turn_columns(x: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    r"""``x`` times the rotation about y: :math:`\cos m\theta` on the diagonal and
    :math:`\sin m\theta` in row ``m``, column ``-m``, mirrored."""
    l = x.shape[-1] // 2
    m = torch.arange(-l, l + 1, dtype=x.dtype, device=x.device)
    phase = angle[..., None, None] * m
    return x * torch.cos(phase) + x.flip(-1) * torch.sin(phase)


def _constant(degrees: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    """The 3j symbols of three degrees, or the exchange of x and y for one, as ``like``."""
    if torch.compiler.is_compiling():
        return constant(degrees, like.detach().new_empty(0))
    return _cached_constant(degrees, like.dtype, like.device)


@torch.library.custom_op("symscape::wigner_constant", mutates_args=())
def constant(degrees: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    """An operator, so that torch's compilers do not look into how the numbers are made."""
    return _cached_constant(tuple(degrees), like.dtype, like.device).clone()


@constant.register_fake
def _(degrees: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    dims = [2 * l + 1 for l in degrees]
    return like.new_empty(dims * 2 if len(dims) == 1 else dims)


@kept(256)
def _cached_constant(
    degrees: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    if len(degrees) == 3:
        return wigner_3j(*degrees, dtype=dtype, device=device, signs="0.6")
    return torch.tensor(_exchange_of_x_and_y(degrees[0]), dtype=dtype, device=device)


@lru_cache(maxsize=256)
def _exchange_of_x_and_y(l: int) -> NDArray[np.float64]:
    """The half turn about x + y, by the recursion of ``wigner_D_from_matrix``."""
    R = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]])
    D = np.ones((1, 1))
    for degree in range(1, l + 1):
        C = math.sqrt(2 * degree + 1) * _real_3j(1, degree - 1, degree, "0.6")
        right = np.tensordot(R, D @ C, axes=1)
        D = np.tensordot(C, right, axes=([0, 1], [0, 1]))
    return D


def wigner_D_from_matrix(lmax: int, R: torch.Tensor) -> Iterator[torch.Tensor]:
    r"""The matrices :math:`D^0, \ldots, D^{l_{max}}` of a rotation, polynomials in its entries.

    :math:`D^l` is the block of highest degree of :math:`D^1 \otimes D^{l-1}`: with
    :math:`C = \sqrt{2l+1}` times the 3j symbols of ``(1, l - 1, l)``,

    .. math:: D^l_{kk'} = \sum_{iji'j'} C_{ijk} R_{ii'} D^{l-1}_{jj'} C_{i'j'k'}

    It has no singular rotations, unlike a way through angles, and does not amplify rounding
    errors, because ``C`` is a partial isometry.

    Args:
        lmax: largest degree.
        R: rotations ``(..., 3, 3)``.

    Yields:
        ``(..., 2l+1, 2l+1)`` for each degree.
    """
    D = torch.ones_like(R[..., :1, :1])
    for l in range(lmax + 1):
        if l == 1:
            D = R
        if l > 1:
            C = math.sqrt(2 * l + 1) * _constant((1, l - 1, l), R)
            right = torch.einsum("...ij,...jay->...iay", R, D.unsqueeze(-3) @ C)
            D = torch.einsum("iax,...iay->...xy", C, right)
        yield D

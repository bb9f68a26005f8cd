"""Grids on the sphere, and transforms between them and spherical harmonics coefficients."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from symscape._arguments import integer, is_integer
from symscape.contraction._arguments import check_floating
from symscape.o3._angular_spherical_harmonics import Legendre, spherical_harmonics_alpha
from symscape.o3._rotation import angles_to_xyz

__all__ = [
    "FromS2Grid",
    "ToS2Grid",
    "irfft",
    "quadrature_weights",
    "rfft",
    "s2_grid",
    "spherical_harmonics_s2_grid",
]

# entries of the dense matrix of a transform, above which it is applied in two steps
_DENSE = 1 << 24

Resolution = int | tuple[int | None, int | None] | None


def s2_grid(
    res_beta: int,
    res_alpha: int,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Grid :math:`\beta_i = \pi (i + 1/2) / n_\beta`, :math:`\alpha_j = 2\pi j / n_\alpha`.

    Args:
        res_beta: number of values of beta; the poles are not among them.
        res_alpha: number of values of alpha.
        dtype: default: torch's default dtype.
        device: default: torch's default device.

    Returns:
        ``betas`` and ``alphas``.
    """
    dtype = dtype or torch.get_default_dtype()
    i = torch.arange(res_beta, dtype=dtype, device=device)
    j = torch.arange(res_alpha, dtype=dtype, device=device)
    return (i + 0.5) / res_beta * math.pi, j / res_alpha * 2 * math.pi


def spherical_harmonics_s2_grid(
    lmax: int,
    res_beta: int,
    res_alpha: int,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The grid, and the factors of the spherical harmonics (integral normalization) on it.

    Args:
        lmax: largest degree.
        res_beta: number of values of beta.
        res_alpha: number of values of alpha.
        dtype: default: torch's default dtype.
        device: default: torch's default device.

    Returns:
        ``betas``, ``alphas``, the factor in beta ``(res_beta, (lmax+1)^2)``, the factor in alpha
        ``(res_alpha, 2 lmax + 1)``.
    """
    betas, alphas = s2_grid(res_beta, res_alpha, dtype, device)
    shy = Legendre(range(lmax + 1))(torch.cos(betas), torch.sin(betas).abs())
    return betas, alphas, shy, spherical_harmonics_alpha(lmax, alphas)


def quadrature_weights(res_beta: int) -> Tensor:
    r"""Fejér's weights, :math:`\int_{-1}^{1} f(\cos\beta)\,d\cos\beta = \sum_i w_i f(\cos\beta_i)`.

    Exact for polynomials of degree below ``res_beta``, for even and odd numbers of points.

    Returns:
        ``(res_beta,)``, float64, sum 2.
    """
    beta, _ = s2_grid(res_beta, 1, torch.float64)
    k = torch.arange(1, res_beta // 2 + 1, dtype=torch.float64)
    terms = torch.cos(2 * k * beta[:, None]) / (4 * k**2 - 1)
    if res_beta % 2 == 0:
        # the highest wave is zero on the grid
        terms = terms[:, :-1]
    return 2 / res_beta * (1 - 2 * terms.sum(1))


def rfft(x: Tensor, l: int) -> Tensor:
    r"""Fourier sums of a real signal on equally spaced angles.

    Args:
        x: ``(..., res)``.
        l: largest order, at most ``(res - 1) / 2``.

    Returns:
        ``(..., 2l+1)``: the sums of the signal times :math:`\sqrt 2 \sin m\alpha` (order -m), 1,
        :math:`\sqrt 2 \cos m\alpha`; ``res`` times what ``irfft`` takes.

    Raises:
        ValueError: too few angles.
    """
    res = x.shape[-1]
    if res < 2 * l + 1:
        raise ValueError(f"x must have at least 2 l + 1 = {2 * l + 1} angles; got {res}")
    _, alphas = s2_grid(1, res, x.dtype, x.device)
    return x @ spherical_harmonics_alpha(l, alphas)


def irfft(x: Tensor, res: int) -> Tensor:
    """The signal of given coefficients; ``irfft(rfft(x, l), res)`` is ``res`` times ``x``.

    Args:
        x: ``(..., 2l+1)``, see ``rfft``.
        res: number of angles.

    Returns:
        ``(..., res)``.

    Raises:
        ValueError: an even number of coefficients.
    """
    if x.shape[-1] % 2 == 0:
        raise ValueError(f"x must have an odd number of coefficients, 2 l + 1; got {x.shape[-1]}")
    _, alphas = s2_grid(1, res, x.dtype, x.device)
    return x @ spherical_harmonics_alpha(x.shape[-1] // 2, alphas).mT


class _S2Transform(nn.Module):
    """What the two directions share: grid, factors, the dense matrix where it is small."""

    alphas: Tensor
    betas: Tensor
    sha: Tensor
    shb: Tensor
    _dense: Tensor | None

    def __init__(
        self,
        lmax: int,
        res_beta: int,
        res_alpha: int,
        degree_factors: Tensor,
        beta_factors: Tensor,
        dtype: torch.dtype | None,
        device: torch.device | str | None,
    ) -> None:
        super().__init__()
        self.lmax, self.res_beta, self.res_alpha = lmax, res_beta, res_alpha
        betas, alphas, shy, sha = spherical_harmonics_s2_grid(
            lmax, res_beta, res_alpha, torch.float64
        )
        ls = torch.tensor([l for l in range(lmax + 1) for _ in range(2 * l + 1)])
        orders = torch.tensor([m for l in range(lmax + 1) for m in range(-l, l + 1)])
        selected = orders == torch.arange(-lmax, lmax + 1)[:, None]
        scaled = shy * degree_factors[ls] * beta_factors[:, None]
        shb = selected[:, None, :] * scaled
        dtype = dtype or torch.get_default_dtype()
        for name, value in (
            ("alphas", alphas),
            ("betas", betas),
            ("sha", sha),
            ("shb", shb),
        ):
            self.register_buffer(name, value.to(device=device, dtype=dtype))
        dense = None
        if res_beta * res_alpha * (lmax + 1) ** 2 <= _DENSE:
            columns = sha[:, lmax + orders]
            dense = (scaled[:, None, :] * columns).flatten(0, 1).to(device=device, dtype=dtype)
        self.register_buffer("_dense", dense, persistent=False)

    @property
    def grid(self) -> Tensor:
        """The points, ``(res_beta, res_alpha, 3)``."""
        return angles_to_xyz(self.alphas, self.betas[:, None])

    def extra_repr(self) -> str:
        """What the printed module shows."""
        return f"lmax={self.lmax} res={self.res_beta}x{self.res_alpha} (beta x alpha)"


class ToS2Grid(_S2Transform):
    r"""Signal on the grid from its coefficients, :math:`f(x) = \sum_l c_l F^l \cdot Y^l(x)`.

    Args:
        lmax: largest degree; None: the largest that the resolution allows.
        res: number of points in beta, or in (beta, alpha); None: the smallest that ``lmax``
            allows, ``2 (lmax + 1)`` and one less.
        normalization: ``"component"``: coefficients of unit variance give values of unit
            variance; ``"norm"``: the same for irreps of norm 1; ``"integral"``: coefficients of
            harmonics normalized by their integral.
        dtype: of the buffers; default: torch's default dtype.
        device: of the buffers.

    Raises:
        ValueError: neither ``lmax`` nor ``res``, a resolution too low for ``lmax``, an unknown
            normalization.
    """

    def __init__(
        self,
        lmax: int | None = None,
        res: Resolution = None,
        normalization: str = "component",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        lmax, res_beta, res_alpha = complete_resolution(lmax, res)
        factors = degree_factors(lmax, normalization)
        ones = torch.ones(res_beta, dtype=torch.float64)
        super().__init__(lmax, res_beta, res_alpha, factors, ones, dtype, device)

    def forward(self, x: Tensor) -> Tensor:
        """The signal.

        Args:
            x: coefficients ``(..., (lmax + 1)^2)``.

        Returns:
            ``(..., res_beta, res_alpha)``.
        """
        if x.shape[-1] != (self.lmax + 1) ** 2:
            raise ValueError(
                f"x must have {(self.lmax + 1) ** 2} coefficients for lmax = {self.lmax}; "
                f"got {x.shape[-1]}"
            )
        check_floating(x, "x")
        if self._dense is not None:
            return (x @ self._dense.mT).unflatten(-1, (self.res_beta, self.res_alpha))
        return torch.einsum("mbi,...i->...bm", self.shb, x) @ self.sha.mT


class FromS2Grid(_S2Transform):
    r"""Coefficients of a signal on the grid, by quadrature; the inverse of ``ToS2Grid``.

    Args:
        res: number of points in beta, or in (beta, alpha).
        lmax: largest degree; None: the largest that the resolution allows.
        normalization: as in ``ToS2Grid``.
        lmax_in: largest degree of the signal, for ``"component"`` and ``"norm"``: the inverse of
            the transform of that ``lmax``; None: ``lmax``.
        dtype: of the buffers; default: torch's default dtype.
        device: of the buffers.

    Raises:
        ValueError: as ``ToS2Grid``, or fewer than ``2 lmax + 1`` angles alpha.
    """

    def __init__(
        self,
        res: Resolution = None,
        lmax: int | None = None,
        normalization: str = "component",
        lmax_in: int | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        lmax, res_beta, res_alpha = complete_resolution(lmax, res)
        if res_alpha < 2 * lmax + 1:
            raise ValueError(
                f"res must have at least 2 lmax + 1 = {2 * lmax + 1} points in alpha for "
                f"lmax = {lmax}; got {res_alpha}"
            )
        factors = degree_factors(lmax, normalization, lmax if lmax_in is None else lmax_in)
        weights = 2 * math.pi / res_alpha * quadrature_weights(res_beta)
        super().__init__(lmax, res_beta, res_alpha, 1 / factors, weights, dtype, device)

    def forward(self, x: Tensor) -> Tensor:
        """The coefficients.

        Args:
            x: signal ``(..., res_beta, res_alpha)``.

        Returns:
            ``(..., (lmax + 1)^2)``.
        """
        if x.shape[-2:] != (self.res_beta, self.res_alpha):
            raise ValueError(
                f"x must have shape (..., {self.res_beta}, {self.res_alpha}); got {tuple(x.shape)}"
            )
        check_floating(x, "x")
        if self._dense is not None:
            return x.flatten(-2) @ self._dense
        return torch.einsum("mbi,...bm->...i", self.shb, x @ self.sha)


def degree_factors(lmax: int, normalization: str, lmax_signal: int | None = None) -> Tensor:
    """Factor of each degree that takes coefficients to those of integral normalization."""
    norm = math.sqrt(4 * math.pi / (1 + (lmax if lmax_signal is None else lmax_signal)))
    l = torch.arange(lmax + 1, dtype=torch.float64)
    if normalization == "component":
        return norm / torch.sqrt(2 * l + 1)
    if normalization == "norm":
        return norm * torch.ones_like(l)
    if normalization == "integral":
        return torch.ones_like(l)
    raise ValueError(
        f"normalization must be one of component, norm, integral; got {normalization!r}"
    )


def complete_resolution(lmax: int | None, res: Resolution) -> tuple[int, int, int]:
    """``lmax, res_beta, res_alpha`` from those that are given.

    Raises:
        ValueError: nothing given, or too few points in beta.
    """
    res_beta, res_alpha = (res, None) if res is None or is_integer(res) else res
    lmax, res_beta, res_alpha = (
        number if number is None else integer(name, number, least)
        for name, number, least in (("lmax", lmax, 0), ("res", res_beta, 1), ("res", res_alpha, 1))
    )
    if res_beta is None:
        if lmax is not None:
            res_beta = 2 * (lmax + 1)
        elif res_alpha is not None:
            res_beta = 2 * ((res_alpha + 1) // 2)
        else:
            raise ValueError("one of lmax and res must be given; got neither")
    if res_alpha is None:
        res_alpha = res_beta - 1 if lmax is None else max(2 * lmax + 1, res_beta - 1)
    if lmax is None:
        lmax = min((res_beta - 1) // 2, (res_alpha - 1) // 2)
    if res_beta < 2 * lmax + 1:
        raise ValueError(
            f"res must have at least 2 lmax + 1 = {2 * lmax + 1} points in beta for "
            f"lmax = {lmax}; got {res_beta}"
        )
    return lmax, res_beta, res_alpha

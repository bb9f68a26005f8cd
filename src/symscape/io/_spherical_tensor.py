"""Signals on the sphere as coefficients of spherical harmonics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from symscape._arguments import integer
from symscape.o3 import FromS2Grid, Irreps, ToS2Grid, spherical_harmonics

__all__ = ["SphericalTensor"]


class SphericalTensor(Irreps):
    r"""The irreps of a signal on the sphere, and what one does with such signals.

    .. math:: f(x) = \sum_{l=0}^{l_\text{max}} F_l \cdot Y_l(x), \qquad \int_{S^2} Y_{lm}^2 = 1

    A signal is a tensor of coefficients ``(..., (lmax + 1)**2)``.

    Args:
        lmax: the highest degree.
        p_val: parity of the values: 1 if an inversion of space leaves them, -1 if it changes their
            sign.
        p_arg: parity of the argument: -1 for points of space, 1 for axial vectors.

    Raises:
        ValueError: ``lmax`` is negative, or a parity is not 1 or -1.

    Source: Ch. 5.3 (e3nn).
    """

    def __new__(cls, lmax: int, p_val: int, p_arg: int) -> SphericalTensor:
        lmax = integer("lmax", lmax, 0)
        for name, p in (("p_val", p_val), ("p_arg", p_arg)):
            if p not in (1, -1):
                raise ValueError(f"{name}: {p} given; allowed: 1 or -1")
        blocks = [(1, (l, p_val * p_arg**l)) for l in range(lmax + 1)]
        return cast(SphericalTensor, super().__new__(cls, blocks))

    def __getnewargs__(self) -> tuple[int, int, int]:
        p_val = self[0].ir.p
        return (len(self) - 1, p_val, self[1].ir.p * p_val if len(self) > 1 else 1)

    def with_peaks_at(self, vectors: Tensor, values: Tensor | None = None) -> Tensor:
        """The signal of least norm that takes given values in given directions.

        Args:
            vectors: directions, ``(n, 3)``; zero vectors are left out.
            values: the values, ``(n,)``; the lengths of the vectors if not given, which are even.

        Returns:
            ``(dim,)``. With more directions than coefficients, the values are met in the least
            squares.

        Raises:
            ValueError: shapes that do not fit, or no values and ``p_val = -1``.
        """
        if vectors.ndim != 2 or vectors.shape[-1] != 3:
            raise ValueError(f"vectors: shape {tuple(vectors.shape)} given; allowed: (n, 3)")
        if values is None and self[0].ir.p != 1:
            raise ValueError(
                "values: not given with p_val = -1; allowed: values, or p_val = 1, since lengths "
                "do not change their sign under inversion"
            )
        lengths = vectors.norm(dim=-1)
        values = lengths if values is None else values.to(vectors.dtype)
        if values.shape != lengths.shape:
            raise ValueError(
                f"values: shape {tuple(values.shape)} given; allowed: {tuple(lengths.shape)}, one "
                "for each vector"
            )
        directions, values = vectors[lengths > 0], values[lengths > 0]
        return torch.linalg.pinv(self._harmonics(directions)) @ values

    def sum_of_diracs(self, positions: Tensor, values: Tensor) -> Tensor:
        r"""Peaks that are as sharp as the degrees allow.

        .. math:: F = \frac{4\pi}{(l_\text{max} + 1)^2} \sum_i v_i\, Y(x_i)

        A single peak has the height :math:`v`.

        Args:
            positions: directions, ``(..., n, 3)``.
            values: the heights, ``(..., n)``.

        Returns:
            ``(..., dim)``.
        """
        peaks = self._harmonics(positions) * values.unsqueeze(-1)
        return 4.0 * torch.pi / len(self) ** 2 * peaks.sum(-2)

    def from_samples_on_s2(self, positions: Tensor, values: Tensor, res: int = 100) -> Tensor:
        """The signal that takes everywhere the value of the nearest sample, up to degree lmax.

        Args:
            positions: directions of the samples, ``(..., n, 3)``.
            values: their values, ``(..., n)``.
            res: resolution of the grid on which the nearest samples are looked up, even.

        Returns:
            ``(..., dim)``; zero without samples.
        """
        if positions.shape[-2] == 0:
            return positions.new_zeros(*positions.shape[:-2], self.dim)
        directions = torch.nn.functional.normalize(positions, dim=-1)
        transform = FromS2Grid(
            res, self.lmax, normalization="integral", dtype=values.dtype, device=values.device
        )
        grid = transform.grid
        nearest = torch.einsum("bax,...nx->...ban", grid, directions).argmax(-1)
        sampled = values.gather(-1, nearest.flatten(-2)).reshape(nearest.shape)
        return transform(sampled)

    def norms(self, signal: Tensor) -> Tensor:
        """The norm of each degree, ``(..., lmax + 1)``."""
        return torch.stack([signal[..., block].norm(dim=-1) for block in self.slices()], -1)

    def signal_xyz(self, signal: Tensor, r: Tensor) -> Tensor:
        """Values of the signal.

        Args:
            signal: ``(*signals, dim)``.
            r: directions, ``(*points, 3)``.

        Returns:
            ``(*signals, *points)``.
        """
        values = signal @ self._harmonics(r).reshape(-1, self.dim).mT
        return values.reshape(*signal.shape[:-1], *r.shape[:-1])

    def signal_on_grid(
        self, signal: Tensor, res: int | tuple[int, int] = 100, normalization: str = "integral"
    ) -> tuple[Tensor, Tensor]:
        """Values of the signal on the grid of [symscape.o3.ToS2Grid][].

        Args:
            signal: ``(..., dim)``.
            res: resolution.
            normalization: of the spherical harmonics.

        Returns:
            Points of the grid ``(beta, alpha, 3)`` and values ``(..., beta, alpha)``.
        """
        transform = ToS2Grid(
            self.lmax, res, normalization=normalization, dtype=signal.dtype, device=signal.device
        )
        return transform.grid, transform(signal)

    def plot(
        self,
        signal: Tensor,
        center: Tensor | None = None,
        res: int = 100,
        radius: bool = True,
        relu: bool = False,
        normalization: str = "integral",
    ) -> tuple[Tensor, Tensor]:
        """A closed surface to plot.

        Args:
            signal: ``(dim,)``.
            center: where the surface is drawn, ``(3,)``; the origin if not given.
            res: resolution of the grid.
            radius: whether the distance of the surface from the center is the absolute value of
                the signal; otherwise it is 1.
            relu: replace negative values by 0.
            normalization: of the spherical harmonics.

        Returns:
            Points of the surface ``(beta, alpha + 1, 3)``, closed around the axis, with the first
            and the last ring of the grid contracted to the poles, and values of the signal
            ``(beta, alpha + 1)``, at the poles the means of these rings.

        Raises:
            ValueError: not one signal.
        """
        if signal.shape != (self.dim,):
            raise ValueError(
                f"signal: shape {tuple(signal.shape)} given; allowed: ({self.dim},), one signal"
            )
        grid, values = self.signal_on_grid(signal, res, normalization)
        if relu:
            values = values.relu()
        grid, values = _closed(grid, values)
        points = grid * values.abs().unsqueeze(-1) if radius else grid
        return (points if center is None else points + center), values

    def plotly_surface(
        self,
        signals: Tensor | Sequence[Tensor],
        centers: Sequence[Tensor] | Tensor | None = None,
        res: int = 100,
        radius: bool = True,
        relu: bool = False,
        normalization: str = "integral",
    ) -> list[dict[str, Any]]:
        """Arguments of plotly's ``Surface``, for one signal or several.

        ``plotly.graph_objects.Figure([Surface(**trace) for trace in traces])`` draws them.

        Args:
            signals: ``(dim,)``, ``(n, dim)``, or a sequence of signals.
            centers: where each is drawn; the origin if not given.
            res: as in `plot`.
            radius: as in `plot`.
            relu: as in `plot`.
            normalization: as in `plot`.

        Returns:
            A dictionary ``x, y, z, surfacecolor`` of arrays for each signal.
        """
        if isinstance(signals, Tensor) and signals.ndim == 1:
            signals = [signals]
        places = [None] * len(signals) if centers is None else list(centers)
        if len(places) != len(signals):
            raise ValueError(
                f"centers: {len(places)} given; allowed: {len(signals)}, one for each signal"
            )
        traces = []
        for signal, center in zip(signals, places):
            r, f = self.plot(signal, center, res, radius, relu, normalization)
            x, y, z = (r[..., i].detach().cpu().numpy() for i in range(3))
            traces.append({"x": x, "y": y, "z": z, "surfacecolor": f.detach().cpu().numpy()})
        return traces

    def find_peaks(self, signal: Tensor, res: int = 100) -> tuple[Tensor, Tensor]:
        """Local maxima of the signal on a grid.

        Args:
            signal: ``(dim,)``.
            res: resolution of the grid.

        Returns:
            Directions ``(n, 3)`` of the points that are not exceeded by any of their neighbors,
            and the values there ``(n,)``. Each pole is one point.
        """
        grid, values = self.signal_on_grid(signal, res)
        poles = values.new_tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
        at_poles = self.signal_xyz(signal, poles)
        top_first = bool(grid[0, 0, 1] > 0)
        first, last = (at_poles[0], at_poles[1]) if top_first else (at_poles[1], at_poles[0])
        width = values.shape[-1]
        rows = torch.cat([first.expand(1, width), values, last.expand(1, width)])
        around = torch.cat([rows[:, -1:], rows, rows[:, :1]], 1)
        exceeded = torch.nn.functional.max_pool2d(around[None], 3, stride=1)[0] > values
        peaks = ~exceeded
        directions, heights = [grid[peaks]], [values[peaks]]
        for pole, height in zip(poles, at_poles):
            row = values[0] if bool(pole[1] * grid[0, 0, 1] > 0) else values[-1]
            if bool(height >= row.max()):
                directions.append(pole[None])
                heights.append(height[None])
        return torch.cat(directions), torch.cat(heights)

    def _harmonics(self, r: Tensor) -> Tensor:
        degrees = list(range(len(self)))
        return spherical_harmonics(degrees, r, True, normalization="integral")


def _closed(grid: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Contract the first and the last ring to the poles, and repeat the first column."""
    pole = torch.zeros_like(grid[:1])
    pole[..., 1] = grid[0, 0, 1].sign()
    width = (1, values.shape[1])
    grid = torch.cat([pole, grid[1:-1], -pole])
    values = torch.cat(
        [values[0].mean().expand(width), values[1:-1], values[-1].mean().expand(width)]
    )
    return torch.cat([grid, grid[:, :1]], 1), torch.cat([values, values[:, :1]], 1)

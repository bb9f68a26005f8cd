"""How far the decision boundary of a network is from that of a mean output."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["BoundaryDistance", "LineSearch", "boundary_distance", "line_search"]


class BoundaryDistance(NamedTuple):
    """Two estimates of the typical distance between two decision boundaries.

    Attributes:
        delta: from the points between the boundaries (Eq. 3); NaN where there is none.
        delta_hat: from norms on all points; NaN where no point has a gradient.
    """

    delta: float
    delta_hat: float


class LineSearch(NamedTuple):
    """A function along its gradient, from n points.

    Attributes:
        values: f on the lines over f at their starts, (n, places); NaN where there is no gradient.
        zeros: the first place where f vanishes, (n,); infinity where it does not, and where there
            is no gradient.
        points: where it vanishes, or the last place, (n, d).
    """

    values: Tensor
    zeros: Tensor
    points: Tensor


def boundary_distance(f: Tensor, f_bar: Tensor, gradient_norm: Tensor) -> BoundaryDistance:
    r"""The distance between the boundaries :math:`f = 0` and :math:`\bar f = 0`.

    To first order in the difference,

    .. math::
        \delta = \Big\langle\frac{|f - \bar f|}{\|\nabla f\|}\Big\rangle_{f\bar f < 0}, \qquad
        \hat\delta = \frac{\langle (f - \bar f)^2\rangle^{1/2}}
        {\langle\|\nabla f\|^2\rangle^{1/2}}.

    Points where the gradient vanishes (all relus of a layer are silent) are left out.

    Args:
        f: outputs of a network, or of the mean of some, (P,).
        f_bar: mean outputs of the largest ensemble, (P,).
        gradient_norm: length of the gradient of f by its input, (P,); see
            :func:`input_gradient_norm`. For a mean of networks, that of the mean gradient.

    Raises:
        ValueError: different shapes, or a negative length.

    Source: Ch. 2, paper B, Section 3, Eq. 3, and App. B.
    """
    for name, values in (("f_bar", f_bar), ("gradient_norm", gradient_norm)):
        if values.shape != f.shape or f.ndim != 1:
            raise ValueError(
                f"{name}: shape {tuple(values.shape)} given with outputs f of shape "
                f"{tuple(f.shape)}; allowed: one shape (P,)"
            )
    if bool((gradient_norm < 0).any()):
        raise ValueError("gradient_norm: negative lengths given; allowed: lengths >= 0")
    there = gradient_norm > 0
    f, f_bar, gradient_norm = f[there], f_bar[there], gradient_norm[there]
    difference = (f - f_bar).abs()
    # the mean of no points is NaN
    delta = (difference / gradient_norm)[f * f_bar < 0].mean()
    delta_hat = (difference.square().mean() / gradient_norm.square().mean()).sqrt()
    return BoundaryDistance(float(delta), float(delta_hat))


def line_search(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    gradients: Tensor,
    *,
    reach: float = 2.0,
    places: int = 81,
) -> LineSearch:
    r"""Follow f from points x along its gradient, towards zero.

    The lines are :math:`x - s\,\ell\,\hat g` with :math:`\hat g = \nabla f/\|\nabla f\|` and the
    distance :math:`\ell = f(x)/\|\nabla f(x)\|` at which f would vanish if it were linear, at
    equidistant s from 0 to ``reach``. A zero is taken from the line between two neighboring
    places. To start on the boundary :math:`\bar f = 0`, take the ``points`` of a search of
    :math:`\bar f`.

    Args:
        f: function of points (m, d) with values (m,).
        x: starts, (n, d).
        gradients: of f there, (n, d); see :func:`input_gradients`.
        reach: largest s, > 0.
        places: number of s on each line, >= 2.

    Raises:
        ValueError: shapes that do not fit, or an argument out of its range.

    Source: Ch. 2, paper B, App. B, Fig. 9.
    """
    if x.ndim != 2 or gradients.shape != x.shape:
        raise ValueError(
            f"gradients: shape {tuple(gradients.shape)} given with points x of shape "
            f"{tuple(x.shape)}; allowed: (n, d) both"
        )
    if not 0 < reach < float("inf"):
        raise ValueError(f"reach: {reach!r} given; allowed: a positive number")
    if places < 2:
        raise ValueError(f"places: {places!r} given; allowed: an integer >= 2")
    start = f(x)
    squares = gradients.square().sum(-1)
    # one step of length l down (or up) the gradient; NaN where there is none
    step = (start / squares).unsqueeze(-1) * gradients
    step = torch.where((squares > 0).unsqueeze(-1), step, torch.full_like(step, torch.nan))
    s = torch.linspace(0.0, reach, places, dtype=x.dtype, device=x.device)
    lines = x.unsqueeze(1) - s.reshape(1, -1, 1) * step.unsqueeze(1)
    values = f(lines.flatten(0, 1)).unflatten(0, (len(x), places)) / start.unsqueeze(-1)
    zeros = _first_zero(s, values)
    points = x - zeros.clamp_max(reach).unsqueeze(-1) * step
    return LineSearch(values, zeros, points)


def _first_zero(s: Tensor, values: Tensor) -> Tensor:
    """Where each row, linear between the places s, first falls to zero; infinity where never."""
    below = values <= 0
    # a row that starts at zero (or at NaN) has its first zero at the first place
    after = below.to(torch.int64).argmax(-1)
    before = (after - 1).clamp_min(0)
    high, low = (values.gather(-1, index.unsqueeze(-1)).squeeze(-1) for index in (before, after))
    share = torch.where(high > low, high / (high - low), torch.zeros_like(high))
    place = s[before] + (s[after] - s[before]) * share
    return torch.where(below.any(-1), place, torch.full_like(place, torch.inf))

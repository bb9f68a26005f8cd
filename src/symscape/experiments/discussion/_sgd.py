"""Networks trained by SGD, and by gradient flow from the same start (Sec. 8.3).

Learning rates are in units of the *stability limit at the start*, the largest one at which gradient
descent in the kernel regime cannot oscillate: 2 over the largest curvature of the loss, which is
that of the soft hinge times the largest eigenvalue of the NTK over P.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from symscape import lab
from symscape.lab import Point, Result

if TYPE_CHECKING:
    from torch import Tensor

    from symscape.dynamics import TrainResult
    from symscape.networks import FullyConnected

Array = NDArray[np.float64]

L, BETA = 2, 20.0
"""Hidden layers, and sharpness of the soft hinge."""

KERNEL_POINTS = 200
"""Test points of which the NTK is taken, before and after training."""

FLOW: dict[str, Any] = {"batch": 0, "rate": 0.0}
"""The method of a point that is trained by gradient flow."""


class SgdTraining(lab.Parameters):
    """What the experiments of this section share."""

    source: str = Field(
        default="auto", description="digits: auto (all of MNIST if found), mnist, mnist-sample"
    )
    P: int = Field(ge=32, default=256, description="training points")
    n_test: int = Field(ge=2, default=1000, description="test points")
    members: int = Field(ge=2, default=4, description="networks of one data set")
    seeds: int = Field(ge=1, description="data sets")

    def common(self) -> dict[str, Any]:
        """Fields of every point."""
        from symscape.datasets import resolve

        return {"source": resolve(self.source).pinned, "P": self.P, "n_test": self.n_test}


def method(point: Any) -> str:
    """The method of a point or row in words."""
    if not point["batch"]:
        return "gradient flow"
    batch = "full batch" if point["batch"] == point["P"] else f"B = {point['batch']}"
    return f"{batch}, rate {point['rate']:g}"


def mean_error(row: lab.Row) -> float:
    """Mean test error of the networks of a row."""
    return float(row["error"].mean())


def temperature(point: Any) -> float:
    """Learning rate over batch size, rate in stability limits; 0 of gradient flow."""
    return float(point["rate"] / point["batch"]) if point["batch"] else 0.0


def measure_members(point: Point) -> Result:
    """Train the members of a point, on one data set, from different starts.

    Fields of a point: ``source``, ``components`` (0: whole images), ``P``, ``n_test``, the width
    ``h``, ``alpha`` (the rescaled one, sqrt(h) alpha), ``batch`` and ``rate`` (0: gradient flow),
    ``horizon`` (time at which training ends, in stability limits), ``members``, ``seed``, and
    ``compare``: whether the distance from gradient flow is asked for.

    Returns:
        Of each member: whether it ``fitted`` (N_Delta = 0), its ``error``, ``kernel_change``,
        ``size`` (root mean square of the predictor on the test set), ``steps``, ``time`` and, where
        asked for, ``distance`` of the predictor from that of gradient flow, over the size of the
        latter. NaN where numbers are not finite. Of the members together: ``ensemble_error`` and
        ``fluctuation``, the root of the (unbiased) variance of the predictor over members.
    """
    import torch

    from symscape import datasets, networks
    from symscape.dynamics import misclassified

    data = datasets.binary_images(
        point["source"],
        point["P"],
        point["seed"],
        n_test=point["n_test"],
        components=point["components"] or None,
    )
    net = networks.FullyConnected(
        data.x_train.shape[1],
        point["h"],
        L,
        parametrization="ntp",
        activation="softplus",
        normalized=True,
        bias=False,
    )
    members = [_member(net, data, point, member) for member in range(point["members"])]
    fields = [field for field in members[0] if field != "F"]
    result: Result = {field: np.array([m[field] for m in members]) for field in fields}
    F = torch.stack([m["F"] for m in members])
    wrong = misclassified(F.mean(0), data.y_test).double().mean()
    result["ensemble_error"] = float(wrong) if bool(F.isfinite().all()) else math.nan
    result["fluctuation"] = float(F.var(0).mean().sqrt()) if len(members) > 1 else math.nan
    return result


def _member(net: FullyConnected, data: Any, point: Point, member: int) -> dict[str, Any]:
    from symscape import kernels
    from symscape.dynamics import misclassified

    seed = 1000 * point["seed"] + member
    w0 = net.initial_weights(seed)
    alpha = point["alpha"] / math.sqrt(point["h"])
    limit = stability_limit(net, w0, data.x_train)

    def predictor(run: TrainResult) -> Tensor:
        return alpha * (net(run.w, data.x_test) - net(w0, data.x_test))

    run = _train(net, w0, data, alpha, limit, seed, point)
    F = predictor(run)
    finite = bool(F.isfinite().all())
    size = F.square().mean().sqrt()
    found: dict[str, Any] = {
        "F": F,
        "fitted": finite and run.n_delta == 0,
        "error": float(misclassified(F, data.y_test).double().mean()) if finite else math.nan,
        "size": float(size),
        "kernel_change": math.nan,
        "steps": run.steps,
        "time": run.time / limit,
    }
    if finite:
        x = data.x_test[:KERNEL_POINTS]
        before, after = (kernels.empirical_ntk(net, x, w=w) for w in (w0, run.w))
        found["kernel_change"] = kernels.kernel_change(after, before)
    if point["compare"]:
        flow = predictor(_train(net, w0, data, alpha, limit, seed, {**point, **FLOW}))
        found["distance"] = float((F - flow).square().mean().sqrt() / flow.square().mean().sqrt())
    return found


def member_seconds(point: Point) -> float:
    """CPU time of a member, from the runs that calibrated it."""
    images = 1 if point["components"] else 2
    flow = 0.25 * (1 + point["h"] / 16) * images
    if not point["batch"]:
        return flow
    # In this time, in stability limits, gradient flow fits; a large temperature takes longer.
    time = min(500 * point["alpha"], 9000) * (1 + 2 * temperature(point))
    if point["rate"] > 7 * point["alpha"]:
        time = math.inf  # unstable
    steps = min(time, point["horizon"]) / point["rate"]
    a_step = 2e-4 * (1 + point["batch"] / 256) * (1 + point["h"] / 64) * images
    return steps * a_step + flow * point["compare"]


def stability_limit(net: FullyConnected, w0: Tensor, x: Tensor) -> float:
    r"""The learning rate :math:`2P/(\ell''_{max}\lambda_1)` of the kernel regime.

    The soft hinge has :math:`\ell''\le\beta/4`, and :math:`\lambda_1` is the largest eigenvalue of
    the Gram matrix of the NTK at the start. (alpha drops out.)
    """
    import torch

    from symscape import kernels

    largest = torch.linalg.eigvalsh(kernels.empirical_ntk(net, x, w=w0))[-1]
    return float(2 * len(x) / (BETA / 4 * largest))


def _train(
    net: FullyConnected,
    w0: Tensor,
    data: Any,
    alpha: float,
    limit: float,
    seed: int,
    point: Point,
) -> TrainResult:
    from symscape import dynamics

    integrator: dynamics.Integrator = dynamics.Chebyshev()
    stop = dynamics.Stop(max_time=point["horizon"] * limit)
    if point["batch"]:
        integrator = dynamics.SGD(point["rate"] * limit, point["batch"], seed)
        # Once per epoch the whole training set is looked at.
        stop = dynamics.Stop(
            max_steps=round(point["horizon"] / point["rate"]),
            check_every=max(1, point["P"] // point["batch"]),
        )
    return dynamics.train(
        net,
        w0,
        data.x_train,
        data.y_train,
        loss=dynamics.SoftHinge(beta=BETA),
        integrator=integrator,
        alpha=alpha,
        stop=stop,
        record=dynamics.Record(per_decade=0, every=None),
    )

"""TensorProduct and its kin: definition, coefficients, weights, errors."""

import importlib
import itertools
import math
import re

import pytest
import torch

from symscape import o3
from symscape.contraction import MODES

# subscripts of the definition of each mode, over pairs of copies (u, v) of the inputs
_DEFINITION = {
    "uvw": "zui,zvj,ijk,uvw->zwk",
    "uvu": "zui,zvj,ijk,uv->zuk",
    "uvv": "zui,zvj,ijk,uv->zvk",
    "uuw": "zui,zuj,ijk,uw->zwk",
    "uuu": "zui,zuj,ijk,u->zuk",
    "uvuv": "zui,zvj,ijk,uv->zuvk",
    "uvu<v": "zpi,zpj,ijk,p->zpk",
    "u<vw": "zpi,zpj,ijk,pw->zwk",
}
_WEIGHTLESS = ("uvu", "uvv", "uuu", "uvuv", "uvu<v")


def _muls(mode: str) -> tuple[int, int, int]:
    if mode in ("uuw", "uuu", "u<vw", "uvu<v"):
        return 3, 3, {"uuu": 3, "uvu<v": 3}.get(mode, 4)
    return 3, 2, {"uvw": 4, "uvu": 3, "uvv": 2, "uvuv": 6}[mode]


def _one_path(mode: str, has_weight: bool, **kwargs) -> o3.TensorProduct:
    mul1, mul2, mul_out = _muls(mode)
    torch.manual_seed(0)
    product = o3.TensorProduct(
        f"{mul1}x1o", f"{mul2}x2e", f"{mul_out}x2o", [(0, 0, 0, mode, has_weight)], **kwargs
    )
    return product.double()


@pytest.mark.parametrize("has_weight", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_definition_of_each_mode(mode: str, has_weight: bool) -> None:
    if not has_weight and mode not in _WEIGHTLESS:
        with pytest.raises(ValueError, match=f"connection_mode {mode} needs weights"):
            _one_path(mode, has_weight)
        return
    product = _one_path(mode, has_weight)
    ins = product.instructions[0]
    x = torch.randn(5, product.irreps_in1.dim, dtype=torch.float64)
    y = torch.randn(5, product.irreps_in2.dim, dtype=torch.float64)
    x_, y_ = x.view(5, -1, 3), y.view(5, -1, 5)
    if "<" in mode:
        u, v = zip(*itertools.combinations(range(3), 2))
        x_, y_ = x_[:, list(u)], y_[:, list(v)]
    C = o3.wigner_3j(1, 2, 2, dtype=torch.float64)
    w = torch.ones(ins.path_shape, dtype=torch.float64)
    if has_weight:
        w = product.weight_view_for_instruction(0)
    expected = ins.path_weight * torch.einsum(_DEFINITION[mode], x_, y_, C, w)
    torch.testing.assert_close(product(x, y), expected.reshape(5, -1), rtol=1e-12, atol=1e-12)


def test_dot_and_cross_product() -> None:
    x, y = torch.randn(2, 7, 3, dtype=torch.float64)
    dot = o3.FullTensorProduct("1o", "1o", ["0e"])(x, y)[:, 0]
    torch.testing.assert_close(dot, (x * y).sum(1) / math.sqrt(3))
    cross = o3.FullTensorProduct("1o", "1o", "1e")(x, y)
    torch.testing.assert_close(cross, torch.linalg.cross(x, y) / math.sqrt(2))


@pytest.mark.parametrize("path_normalization", ["element", "path"])
@pytest.mark.parametrize("irrep_normalization", ["component", "norm"])
@pytest.mark.parametrize("mode", MODES)
def test_variance_is_one_over_inputs_and_weights(
    mode: str, irrep_normalization: str, path_normalization: str
) -> None:
    """Exactly: the second moment over independent inputs and weights is a sum of squares."""
    mul1, mul2, mul_out = _muls(mode)
    instructions = [(0, 0, 0, mode, True), (1, 1, 0, mode, True, 2.0)]
    product = o3.TensorProduct(
        f"{mul1}x1o + {mul1}x0e",
        f"{mul2}x2e + {mul2}x2o",
        f"{mul_out}x2o",
        instructions,
        in1_var=[2.0, 1.0],
        in2_var=[1.0, 3.0],
        out_var=[0.5],
        irrep_normalization=irrep_normalization,
        path_normalization=path_normalization,
    )
    variance = 0.0
    for ins, (l1, l2), var in zip(product.instructions, [(1, 2), (0, 2)], [2.0, 3.0]):
        terms = {"uvw": mul1 * mul2, "uvu": mul2, "uvv": mul1, "uuw": mul1, "u<vw": 3}.get(mode, 1)
        # per component: <x_i^2> <y_j^2> sum_ij C_ijk^2, and sum_ij C_ijk^2 = 1 / (2 l3 + 1)
        moments = 1.0 if irrep_normalization == "component" else 1 / ((2 * l1 + 1) * (2 * l2 + 1))
        variance += ins.path_weight**2 * terms * var * moments / 5
    goal = 0.5 if irrep_normalization == "component" else 0.5 / 5
    # path weights 1 and 2 change the share of each path; `path` shares equally before that
    shares = [0.5, 0.5]
    if path_normalization == "element":
        shares = [2 / 5, 3 / 5]
    assert variance == pytest.approx(goal * (shares[0] + 2 * shares[1]), rel=1e-12)


@pytest.mark.parametrize("normalization", ["component", "norm"])
def test_square_of_dependent_factors_has_variance_one(normalization: str) -> None:
    """By the exact fourth moments of normal and of unit vectors."""
    for l in range(4):
        n = 2 * l + 1
        product = o3.TensorSquare(f"1x{l}e", irrep_normalization=normalization)
        delta = torch.eye(n, dtype=torch.float64)
        pairings = (
            torch.einsum("ij,kl->ijkl", delta, delta)
            + torch.einsum("ik,jl->ijkl", delta, delta)
            + torch.einsum("il,jk->ijkl", delta, delta)
        )
        if normalization == "norm":
            pairings = pairings / (n * (n + 2))
        for ins, (mul, ir) in zip(product.instructions, product.irreps_out):
            C = ins.path_weight * o3.wigner_3j(l, l, ir.l, dtype=torch.float64)
            moment = torch.einsum("ijm,klm,ijkl->", C, C, pairings)
            assert mul == 1
            assert ir.l % 2 == 0
            expected = ir.dim if normalization == "component" else 1.0
            assert float(moment) == pytest.approx(expected, rel=1e-12)


def test_square_keeps_the_norm() -> None:
    """With the unitary scale sqrt(2 l3 + 1): |x (x) x|^2 = |x|^4, different copies twice."""
    square = o3.TensorSquare("2x0e + 2x1o + 2e", irrep_normalization="none").double()
    assert square.irreps_out.dim == 13 * 14 // 2
    x = torch.randn(6, 13, dtype=torch.float64)
    scale = torch.zeros(square.irreps_out.dim, dtype=torch.float64)
    for ins in square.instructions:
        times = 1 if ins.connection_mode == "uuu" else 2
        scale[square.irreps_out.slices()[ins.i_out]] = times * square.irreps_out[ins.i_out].ir.dim
    total = (scale * square(x).square()).sum(1)
    torch.testing.assert_close(total, x.square().sum(1).square(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shared", [True, False])
def test_leading_dimensions_broadcast(shared: bool) -> None:
    product = o3.FullyConnectedTensorProduct(
        "2x0e+1o", "0e+1o", "1o+2x0e", shared_weights=shared, internal_weights=False
    ).double()
    x = torch.randn(4, 1, 5, dtype=torch.float64)
    y = torch.randn(3, 4, dtype=torch.float64)
    w = torch.randn(product.weight_numel, dtype=torch.float64)
    if not shared:
        w = torch.randn(4, 3, product.weight_numel, dtype=torch.float64)
    out = product(x, y, w)
    assert out.shape == (4, 3, 5)
    for a, b in itertools.product(range(4), range(3)):
        weight = w if shared else w[a, b][None]
        single = product(x[a, 0][None], y[b][None], weight)[0]
        torch.testing.assert_close(out[a, b], single, rtol=1e-12, atol=1e-12)
    M = product.right(y.expand(4, 3, 4), w)
    assert M.shape == (4, 3, 5, 5)
    torch.testing.assert_close((x[..., None, :] @ M)[..., 0, :], out, rtol=1e-12, atol=1e-12)


def test_weights_as_a_list_and_as_views() -> None:
    product = o3.TensorProduct(
        "2x0e+1o", "0e+2x0e", "3x0e+1o", [(0, 0, 0, "uvw", True), (1, 1, 1, "uvu", True)]
    )
    views = list(product.weight_views(yield_instruction=True))
    assert [number for number, _, _ in views] == [0, 1]
    assert [tuple(view.shape) for _, _, view in views] == [(2, 1, 3), (1, 2)]
    x, y = torch.randn(5, 5), torch.randn(5, 3)
    assert torch.equal(product(x, y, [view for _, _, view in views]), product(x, y))
    with torch.no_grad():
        product.weight_view_for_instruction(1).zero_()
    assert torch.equal(product.weight[6:], torch.zeros(2))
    assert product.weight.numel() == product.weight_numel == 8
    batch = torch.randn(7, 8)
    assert product.weight_view_for_instruction(0, batch[0]).shape == (2, 1, 3)
    free = o3.TensorProduct("2x0e", "0e", "3x0e", [(0, 0, 0, "uvw", True)], shared_weights=False)
    assert free.weight_view_for_instruction(0, torch.randn(7, 6)).shape == (7, 2, 1, 3)


@pytest.mark.parametrize(
    ("shared", "internal", "expected"),
    [
        (None, None, (True, True)),
        (None, True, (True, True)),
        (None, False, (True, False)),
        (True, None, (True, True)),
        (True, False, (True, False)),
        (False, None, (False, False)),
        (False, False, (False, False)),
    ],
)
def test_rules_for_weights(shared, internal, expected) -> None:
    product = _one_path("uvw", True, shared_weights=shared, internal_weights=internal)
    assert (product.shared_weights, product.internal_weights) == expected
    assert isinstance(product.weight, torch.nn.Parameter) == expected[1]
    linear = o3.Linear("0e", "0e", shared_weights=shared, internal_weights=internal)
    assert (linear.shared_weights, linear.internal_weights) == expected


def test_mask_marks_what_can_be_reached() -> None:
    product = o3.TensorProduct(
        "2x0e + 0x1o",
        "1x0e",
        "2x0e + 1o + 1x0e",
        [(0, 0, 0, "uvw", True), (1, 0, 1, "uvw", True), (0, 0, 2, "uvw", True, 0.0)],
    )
    assert product.output_mask.tolist() == [1, 1, 0, 0, 0, 0]
    out = product(torch.randn(9, 2), torch.randn(9, 1))
    assert torch.equal((out != 0).any(0).float(), product.output_mask)


def test_elementwise_cuts_blocks() -> None:
    product = o3.ElementwiseTensorProduct("2x0e + 1o", "1o + 2x0e").double()
    assert str(product.irreps_out) == "1x1o+1x0e+1x1o"
    x, y = torch.randn(2, 4, 5, dtype=torch.float64)
    out = product(x, y)
    expected = torch.cat([x[:, :1] * y[:, :3], x[:, 1:2] * y[:, 3:4], x[:, 2:] * y[:, 4:]], 1)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)


def test_regrouped_product_expects_regrouped_inputs() -> None:
    product = o3.FullTensorProductv2("1o + 2x0e + 1o", "1e", filter_ir_out="1e+0o")
    assert str(product.irreps_in1) == "2x0e+2x1o"
    assert str(product.irreps_out) == "2x0o+2x1e"
    plain = o3.FullTensorProductv2("1o + 2x0e", "1e", regroup_output=False)
    assert str(plain.irreps_in1) == "1x1o+2x0e"
    assert product.state_dict() == {}


def test_sorted_elementwise_product() -> None:
    product = o3.experimental.ElementwiseTensorProductv2(
        "2x0e + 1o", "1o + 2x0e", filter_ir_out="0e + 1o"
    )
    assert str(product.irreps_out) == "1x0e+1x1o+1x1o"
    assert product.state_dict() == {}
    x, y = torch.randn(4, 5), torch.randn(4, 5, dtype=torch.float64)
    expected = torch.cat([x[:, 1:2] * y[:, 3:4], x[:, :1] * y[:, :3], x[:, 2:] * y[:, 4:]], 1)
    torch.testing.assert_close(product(x, y), expected)
    with pytest.raises(ValueError, match="equally many irreps"):
        o3.experimental.ElementwiseTensorProductv2("2x0e", "3x0e")
    with pytest.raises(ValueError, match="irrep_normalization"):
        o3.experimental.ElementwiseTensorProductv2("0e", "0e", irrep_normalization="one")


_WRONG = {
    "no such block": ([(0, 0, 2, "uvw", True)], "irreps_out = 3x0e+2x1o has no block 2"),
    "negative block": ([(-1, 0, 0, "uvw", True)], "irreps_in1 = 2x0e+3x1o has no block -1"),
    "parity": ([(0, 0, 1, "uvw", True)], "1o, block 1 of irreps_out, is not in 0e x 0e = 0e"),
    "triangle": ([(1, 1, 0, "uvw", True)], "0e, block 0 of irreps_out, is not in 1o x 2e"),
    "mode": ([(0, 0, 0, "uvx", True)], "connection_mode must be one of uvw, uvu"),
    "length": ([(0, 0, 0, "uvw")], "must be (i_in1, i_in2, i_out, connection_mode, has_weight"),
    "negative path weight": ([(0, 0, 0, "uvw", True, -1.0)], "path_weight must not be negative"),
    "nan path weight": ([(0, 0, 0, "uvw", True, math.nan)], "path_weight must not be negative"),
    "uvu": ([(0, 0, 0, "uvu", True)], "uvu of 2x0e and 3x0e has the output 2x0e; got 3x0e"),
    "uuu": ([(0, 0, 0, "uuu", True)], "equal multiplicity; got 2x0e and 3x0e"),
}


@pytest.mark.parametrize("which", list(_WRONG))
def test_impossible_paths_are_refused(which: str) -> None:
    instructions, message = _WRONG[which]
    with pytest.raises(ValueError, match=re.escape(message)):
        o3.TensorProduct("2x0e+3x1o", "3x0e+2e", "3x0e+2x1o", instructions)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"irrep_normalization": "unit"}, "irrep_normalization must be one of component, norm"),
        ({"path_normalization": "unit"}, "path_normalization must be one of element, path"),
        ({"in1_var": [1.0, 2.0]}, "in1_var must have one value for each block of irreps_in1"),
        ({"out_var": []}, "out_var must have one value for each block of irreps_out = 4x2o"),
        ({"shared_weights": False, "internal_weights": True}, "needs shared_weights = True"),
    ],
)
def test_wrong_arguments_are_refused(kwargs, message) -> None:
    with pytest.raises(ValueError, match=message):
        _one_path("uvw", True, **kwargs)


def test_wrong_calls_are_refused() -> None:
    x, y = torch.randn(4, 9).double(), torch.randn(4, 10).double()
    product = _one_path("uvw", True)
    n = product.weight_numel
    with pytest.raises(ValueError, match="leading dimensions must broadcast"):
        product(x, y[:3])
    with pytest.raises(ValueError, match=re.escape(f"weight must have the shape ({n},)")):
        product(x, y, torch.randn(n + 1).double())
    with pytest.raises(ValueError, match=re.escape(f"weight must have the shape ({n},)")):
        product(x, y, torch.randn(4, n).double())
    with pytest.raises(ValueError, match=r"one tensor for each instruction.*\(3, 2, 4\)"):
        product(x, y, [torch.randn(3, 2).double()])
    with pytest.raises(ValueError, match="dtype"):
        product(x, y.float())
    with pytest.raises(ValueError, match="device"):
        product(x, y.to("meta"))
    free = _one_path("uvw", True, shared_weights=False)
    with pytest.raises(ValueError, match="weight must be given"):
        free(x, y)
    with pytest.raises(ValueError, match=re.escape(f"weight must have the shape (..., {n})")):
        free(x, y, torch.randn(n).double())
    with pytest.raises(ValueError, match="number of one with weights"):
        _one_path("uvu", False).weight_view_for_instruction(0)


def test_wrong_irreps_are_refused() -> None:
    with pytest.raises(ValueError, match=r"equally many irreps; got 3 in .* and 2 in"):
        o3.ElementwiseTensorProduct("2x0e+1o", "2x0e")
    with pytest.raises(ValueError, match="irreps_out and filter_ir_out exclude each other"):
        o3.TensorSquare("1o", "0e", ["0e"])
    with pytest.raises(ValueError, match="filter_ir_out must be None, irreps"):
        o3.FullTensorProduct("1o", "1o", 3)


def test_deprecated_name_of_the_normalization() -> None:
    with pytest.warns(DeprecationWarning, match="irrep_normalization"):
        old = _one_path("uvw", True, normalization="norm")
    new = _one_path("uvw", True, irrep_normalization="norm")
    assert old.instructions == new.instructions


class _Axes:
    """Stands in for matplotlib's axes."""

    figure = "figure"

    def __init__(self) -> None:
        self.lines: list = []
        self.texts: list[str] = []

    def plot(self, xs, ys, color, zorder) -> None:
        if zorder == 1:
            self.lines.append(color)

    def text(self, x, y, text, **_) -> None:
        self.texts.append(text.strip())

    def set_aspect(self, ratio) -> None:
        self.ratio = ratio

    def axis(self, what) -> None:
        assert what == "off"


def test_picture_shows_blocks_and_paths() -> None:
    product = o3.TensorProduct(
        "2x0e+1o", "0e+1o", "3x0e", [(0, 0, 0, "uvw", True), (1, 1, 0, "uvw", True)]
    )
    with torch.no_grad():
        product.weight_view_for_instruction(0).fill_(1.0)
        product.weight_view_for_instruction(1).fill_(0.5)
    ax = _Axes()
    assert product.visualize(ax=ax, aspect_ratio=2) == ("figure", ax)
    assert ax.ratio == 0.5
    assert sorted(ax.texts) == sorted(["2x0e", "1x1o", "1x0e", "1x1o", "3x0e", "uvw", "uvw"])
    strong, weak = ax.lines[0], ax.lines[3]
    assert strong == (0.0, 0.0, 1.0)
    assert weak == (0.85 / 2, 0.85 / 2, 1.0)
    plain = _Axes()
    product.visualize(ax=plain, plot_weight=False)
    assert plain.lines == ["black"] * 6


def test_picture_without_matplotlib(monkeypatch) -> None:
    def missing(name, package=None):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        _one_path("uvw", True).visualize()

"""Spherical harmonics: closed forms, symmetry, derivatives of any order, backends, transforms."""

import io
import math
import re

import pytest
import torch

from symscape import o3
from symscape.o3 import _harmonics_kernels, _spherical_harmonics

F64 = torch.float64


def _points(count=7, seed=0, dtype=F64):
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def _special():
    """Zero, the axes, and directions close to the pole."""
    eye = torch.eye(3, dtype=F64)
    near = torch.tensor([[1e-9, 1.0, 0], [0, -1.0, 1e-160]], dtype=F64)
    return torch.cat([torch.zeros(1, 3, dtype=F64), eye, -eye, near])


def test_closed_forms():
    p = _points()
    x, y, z = p.T
    found = o3.spherical_harmonics([0, 1, 2], p, False, "component")
    s, r2 = math.sqrt(15), p.square().sum(-1)
    expected = [
        torch.ones_like(x),
        *(math.sqrt(3) * p.T),
        s * x * z,
        s * x * y,
        math.sqrt(5) / 2 * (3 * y**2 - r2),
        s * y * z,
        s / 2 * (z**2 - x**2),
    ]
    torch.testing.assert_close(found, torch.stack(expected, -1), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("l", [1, 2, 3, 6, 14, 15, 20])
def test_equivariance(l):
    p = _points()
    R = o3.rand_matrix(7, dtype=F64, generator=torch.Generator().manual_seed(1))
    turned = o3.spherical_harmonics(l, (R @ p[..., None])[..., 0], True, "norm")
    D = o3.Irrep(l, (-1) ** l).D_from_matrix(R)
    y = o3.spherical_harmonics(l, p, True, "norm")
    torch.testing.assert_close(turned, (D @ y[..., None])[..., 0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("l", [0, 1, 4, 20, 40])
def test_normalizations(l):
    p = _points()
    one = torch.ones(7, dtype=F64)
    y = {n: o3.spherical_harmonics(l, p, True, n) for n in ("component", "norm", "integral")}
    torch.testing.assert_close(y["norm"].norm(dim=-1), one)
    torch.testing.assert_close(y["component"], math.sqrt(2 * l + 1) * y["norm"])
    torch.testing.assert_close(y["component"], math.sqrt(4 * math.pi) * y["integral"])


def test_orthonormal_on_the_sphere():
    lmax = 6
    to_grid = o3.FromS2Grid(2 * lmax + 2, lmax, "integral", dtype=F64)
    y = o3.spherical_harmonics(list(range(lmax + 1)), to_grid.grid, True)
    gram = to_grid(y.movedim(-1, 0))
    torch.testing.assert_close(gram, torch.eye(49, dtype=F64), rtol=0, atol=1e-12)


def test_homogeneous_and_harmonic():
    p = _points(4)
    y = o3.spherical_harmonics(5, p, False)
    torch.testing.assert_close(o3.spherical_harmonics(5, 2 * p, False), 2**5 * y)

    def function(x):
        return o3.spherical_harmonics(5, x, False)

    hessian = torch.func.vmap(torch.func.jacrev(torch.func.jacrev(function)))(p)
    laplacian = hessian.diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(laplacian, torch.zeros_like(y), rtol=0, atol=1e-11)


@pytest.mark.parametrize("normalize", [True, False])
def test_derivatives(normalize):
    def function(x):
        return o3.spherical_harmonics([0, 1, 2, 3, 4], x, normalize, "component")

    for points in (_points(4), _special()[1:5]):
        x = points.requires_grad_()
        assert torch.autograd.gradcheck(function, x)
        assert torch.autograd.gradgradcheck(function, x)


def test_third_derivatives():
    x = _points(2).requires_grad_()

    def gradient(x):
        y = o3.spherical_harmonics([0, 1, 2, 3], x, True).pow(3).sum()
        return torch.autograd.grad(y, x, create_graph=True)[0]

    assert torch.autograd.gradgradcheck(gradient, x)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("lmax", [3, 21])
def test_derivatives_are_finite_at_zero_and_on_the_axes(normalize, lmax):
    x = _special().requires_grad_()
    y = o3.spherical_harmonics(list(range(lmax + 1)), x, normalize)
    (first,) = torch.autograd.grad(y.square().sum() + y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum() + first.sum(), x)
    for value in (y, first, second):
        assert torch.isfinite(value).all()
    if normalize:
        assert (y[0, 1:] == 0).all()
        assert (first[0] == 0).all()
        assert (second[0] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 16, 17, 500])
def test_kernels_agree_with_plain_torch(count, dtype):
    x = _points(count, dtype=dtype)
    y = o3.spherical_harmonics([0, 1, 2, 3, 4, 5], x, True, "component")
    n = torch.nn.functional.normalize(x, dim=-1)
    plain = _spherical_harmonics.polynomials(5, (1.0,) * 6, n, n.square().sum(-1, keepdim=True))
    torch.testing.assert_close(y, torch.cat(plain, -1))


def test_same_numbers_with_any_number_of_threads():
    x = _points(40_000, dtype=torch.float32)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(o3.spherical_harmonics([0, 1, 2, 3], x, True))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_gradient_table():
    """The table gives the gradient of each polynomial, found here by plain torch."""
    lmax, scale = 4, _spherical_harmonics.scales(4, "norm")
    x = _points(1)[0]

    def plain(x):
        square = x.square().sum(-1, keepdim=True)
        return torch.cat(_spherical_harmonics.polynomials(lmax, scale, x, square), -1)

    y, expected = plain(x), torch.func.jacrev(plain)(x)
    found = torch.zeros_like(expected)
    for a, i, j, value in _harmonics_kernels.gradient_table(lmax, scale):
        found[i, a] += value * y[j]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)


def test_degrees_and_irreps():
    x = _points()
    parts = [o3.spherical_harmonics(l, x, True) for l in (2, 0, 2)]
    torch.testing.assert_close(o3.spherical_harmonics([2, 0, 2], x, True), torch.cat(parts, -1))
    module = o3.SphericalHarmonics("2x1e + 2e", True)
    assert str(module.irreps_in) == "1x1e"
    assert str(module.irreps_out) == "2x1e+1x2e"
    assert not module.state_dict()
    assert o3.spherical_harmonics([], x, True).shape == (7, 0)
    outer = o3.spherical_harmonics(2, x.expand(3, 2, 7, 3), True)
    torch.testing.assert_close(outer[1, 1], parts[0])
    strided = torch.randn(3, 9, dtype=F64).T
    torch.testing.assert_close(
        o3.spherical_harmonics(3, strided, True),
        o3.spherical_harmonics(3, strided.contiguous(), True),
    )
    assert torch.isnan(o3.spherical_harmonics(1, x * math.nan, True)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: o3.SphericalHarmonics("1o+1e", True), "irreps_out has 1o, but harmonics"),
        (lambda: o3.SphericalHarmonics("2o", True), "irreps_out has 2o"),
        (lambda: o3.SphericalHarmonics(1, True, "x"), "normalization must be one of"),
        (lambda: o3.SphericalHarmonics(1, True, irreps_in="2x1o"), "irreps_in must be one vector"),
        (lambda: o3.SphericalHarmonics(-1, True), "l: -1 given; allowed: an integer >= 0"),
        (lambda: o3.spherical_harmonics(1, torch.zeros(2), True), "x must have shape (..., 3)"),
        (
            lambda: o3.spherical_harmonics(1, torch.zeros(3, dtype=torch.long), True),
            "x must be of floating point",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_function_transforms():
    x = _points()

    def function(x):
        return o3.spherical_harmonics([1, 2, 3], x, True)

    torch.testing.assert_close(torch.func.vmap(function, in_dims=1)(x.T), function(x))
    reverse = torch.func.vmap(torch.func.jacrev(function))(x)
    forward = torch.func.vmap(torch.func.jacfwd(function))(x)
    torch.testing.assert_close(reverse, forward)


def test_compile_without_graph_breaks():
    def function(x):
        return 2 * o3.spherical_harmonics([1, 2, 3], x, True)

    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    gradients = []
    for f in (function, compiled):
        x = _points().requires_grad_()
        f(x).pow(2).sum().backward()
        gradients.append(x.grad)
    torch.testing.assert_close(compiled(_points()), function(_points()))
    torch.testing.assert_close(*gradients)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("lmax", [2, 16])  # with a kernel and without
def test_traced(normalize, lmax):
    """For batches of any size, differentiable, and in a file."""
    module = o3.SphericalHarmonics(list(range(lmax + 1)), normalize)
    traced = torch.jit.trace(module, (torch.randn(4, 3),))
    file = io.BytesIO()
    torch.jit.save(traced, file)
    file.seek(0)
    for program in (traced, torch.jit.load(file)):
        x = torch.randn(2, 5, 3, requires_grad=True)[1]
        found = [f(x) for f in (program, module)]
        found += [torch.autograd.grad(y.square().sum(), x) for y in found]
        torch.testing.assert_close(found[0], found[1])
        torch.testing.assert_close(found[2], found[3])


def test_harmonics_of_angles():
    alpha, beta, _ = o3.rand_angles(9, dtype=F64, generator=torch.Generator().manual_seed(0))
    y = o3.spherical_harmonics_alpha_beta([0, 2, 5], alpha, beta)
    points = o3.angles_to_xyz(alpha, beta)
    torch.testing.assert_close(y, o3.spherical_harmonics([0, 2, 5], points, True))
    legendre = o3.Legendre([5])(torch.cos(beta), torch.sin(beta))
    torch.testing.assert_close(legendre * o3.spherical_harmonics_alpha(5, alpha), y[:, 6:])


@pytest.mark.parametrize("beta", [0.0, math.pi])
def test_harmonics_of_angles_are_smooth_at_the_poles(beta):
    angles = tuple(torch.tensor(a, dtype=F64, requires_grad=True) for a in (0.3, beta))
    assert torch.autograd.gradcheck(
        lambda *a: o3.spherical_harmonics_alpha_beta([1, 2, 3], *a), angles
    )

"""Rotations, irreps, Wigner symbols, harmonics and grids against e3nn, in float64."""

import pytest
import torch

from symscape import o3

peer = pytest.importorskip("e3nn.o3", reason="e3nn is not installed")

N = 40


@pytest.fixture(autouse=True)
def _float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


def _close(ours, theirs, tolerance=1e-12):
    if isinstance(theirs, tuple):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            _close(a, b, tolerance)
        return
    assert ours.dtype == theirs.dtype
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


def _arguments(kind):
    angles = peer.rand_angles(N)
    return {
        "angles": angles,
        "angle": angles[:1],
        "alpha_beta": angles[:2],
        "matrix": (peer.angles_to_matrix(*angles),),
        "quaternion": (peer.angles_to_quaternion(*angles),),
        "axis_angle": peer.angles_to_axis_angle(*angles),
        "xyz": (torch.randn(N, 3),),
        "shape": (2, 3),
    }[kind]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        *((f"matrix_{axis}", ["angle"]) for axis in "xyz"),
        *(
            (f"{a}_to_{b}", [a])
            for a in ("angles", "matrix", "quaternion", "axis_angle")
            for b in ("angles", "matrix", "quaternion", "axis_angle")
            if a != b
        ),
        *((f"compose_{a}", [a, a]) for a in ("angles", "quaternion", "axis_angle")),
        *((f"inverse_{a}", [a]) for a in ("angles", "quaternion")),
        *((f"identity_{a}", ["shape"]) for a in ("angles", "quaternion")),
        ("angles_to_xyz", ["alpha_beta"]),
        ("xyz_to_angles", ["xyz"]),
    ],
)
def test_maps_of_rotations(name, kinds):
    arguments = [argument for kind in kinds for argument in _arguments(kind)]
    # acos, as used by the peer, loses half of the digits near the identity
    _close(getattr(o3, name)(*arguments), getattr(peer, name)(*arguments), 1e-11)


@pytest.mark.parametrize("name", ["rand_angles", "rand_matrix", "rand_quaternion"])
def test_random_rotations_take_the_same_numbers_of_the_generator(name):
    torch.manual_seed(3)
    ours = getattr(o3, name)(2, 5)
    torch.manual_seed(3)
    _close(ours, getattr(peer, name)(2, 5))


def test_wigner_3j():
    for l1 in range(7):
        for l2 in range(7):
            for l3 in range(abs(l1 - l2), min(l1 + l2, 6) + 1):
                _close(o3.wigner_3j(l1, l2, l3), peer.wigner_3j(l1, l2, l3))


@pytest.mark.parametrize("l", range(9))
def test_wigner_D_generators_and_change_of_basis(l):
    angles = peer.rand_angles(N)
    # the peer exponentiates matrices of norm l beta: its error grows with l
    _close(o3.wigner_D(l, *angles), peer.wigner_D(l, *angles), 1e-12 * (1 + l))
    _close(o3.so3_generators(l), peer.so3_generators(l))
    _close(o3.su2_generators(l), peer.su2_generators(l))
    _close(o3.change_basis_real_to_complex(l), peer.change_basis_real_to_complex(l))


def test_matrices_of_irreps():
    angles = peer.rand_angles(N)
    k = torch.randint(0, 2, (N,))
    R = peer.angles_to_matrix(*angles) * (1 - 2.0 * k[:, None, None])
    for text in ("2x0e+1o", "0o+1e+2x2o+3e"):
        ours, theirs = o3.Irreps(text), peer.Irreps(text)
        _close(ours.D_from_angles(*angles, k), theirs.D_from_angles(*angles, k), 1e-11)
        _close(ours.D_from_matrix(R), theirs.D_from_matrix(R), 1e-11)
        q = peer.angles_to_quaternion(*angles)
        _close(ours.D_from_quaternion(q, k), theirs.D_from_quaternion(q, k), 1e-11)
        axis_angle = peer.angles_to_axis_angle(*angles)
        _close(ours.D_from_axis_angle(*axis_angle), theirs.D_from_axis_angle(*axis_angle), 1e-11)


@pytest.mark.parametrize(
    "text", ["", "1o", "2x0e + 1o", "3x1y+0x2e+2x1o+0o", "0e+1e+0e+5x0e+2x12o"]
)
def test_algebra_of_irreps(text):
    ours, theirs = o3.Irreps(text), peer.Irreps(text)
    assert str(ours) == str(theirs)
    assert [(s.start, s.stop) for s in ours.slices()] == [
        (s.start, s.stop) for s in theirs.slices()
    ]
    assert (ours.dim, ours.num_irreps, ours.ls) == (theirs.dim, theirs.num_irreps, theirs.ls)
    for name in ("simplify", "regroup", "remove_zero_multiplicities"):
        assert str(getattr(ours, name)()) == str(getattr(theirs, name)())
    a, b = ours.sort(), theirs.sort()
    assert (str(a.irreps), a.p, a.inv) == (str(b.irreps), b.p, b.inv)
    for start in range(4):
        for stop in range(start, 5):
            kept = theirs.slice_by_mul[start:stop].remove_zero_multiplicities()
            assert str(ours.slice_by_mul[start:stop]) == str(kept)
    torch.manual_seed(1)
    for normalization in ("component", "norm"):
        state = torch.get_rng_state()
        x = ours.randn(3, -1, normalization=normalization)
        torch.set_rng_state(state)
        if normalization == "component":
            _close(x, theirs.randn(3, -1, normalization=normalization))
        assert x.shape == (3, ours.dim)


@pytest.mark.parametrize("normalization", ["integral", "component", "norm"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("l", [0, 5, [0, 1, 2, 3, 4], [3, 1], "1o+2x2e", "2x1e+0e", 9])
def test_spherical_harmonics(l, normalize, normalization):
    x = torch.randn(N, 3)
    ours = o3.SphericalHarmonics(l, normalize, normalization)
    theirs = peer.SphericalHarmonics(l, normalize, normalization)
    assert str(ours.irreps_out) == str(theirs.irreps_out)
    assert str(ours.irreps_in) == str(theirs.irreps_in)
    y = theirs(x)
    _close(ours(x), y, 1e-12 * float(1 + y.abs().max()))


@pytest.mark.parametrize("normalization", ["integral", "component", "norm"])
def test_harmonics_of_angles(normalization):
    alpha, beta, _ = peer.rand_angles(N)
    _close(
        o3.spherical_harmonics_alpha_beta([0, 1, 4], alpha, beta, normalization=normalization),
        peer.spherical_harmonics_alpha_beta([0, 1, 4], alpha, beta, normalization=normalization),
    )
    _close(o3.spherical_harmonics_alpha(4, alpha), peer.spherical_harmonics_alpha(4, alpha))
    z, y = torch.cos(beta), torch.sin(beta)
    _close(o3.Legendre([0, 1, 4])(z, y), peer.Legendre([0, 1, 4])(z, y))


@pytest.mark.parametrize("normalization", ["integral", "component", "norm"])
@pytest.mark.parametrize(("lmax", "res"), [(3, None), (3, (10, 8)), (None, 12), (2, (8, 11))])
def test_sphere_grids(lmax, res, normalization):
    pairs = [
        (module.ToS2Grid(lmax, res, normalization), module.FromS2Grid(res, lmax, normalization, 5))
        for module in (o3, peer)
    ]
    (to, from_), (peer_to, peer_from) = pairs
    x = torch.randn(4, (to.lmax + 1) ** 2)
    _close(to(x), peer_to(x))
    _close(from_(to(x)), peer_from(peer_to(x)))
    _close(to.grid, peer_to.grid)
    for ours, theirs in ((to, peer_to), (from_, peer_from)):
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for name, value in theirs.state_dict().items():
            _close(ours.state_dict()[name], value)


def test_fourier_transforms():
    for res, l in ((7, 3), (9, 2)):
        _close(o3.rfft(x := torch.randn(3, res), l), peer.rfft(x, l))
        _close(o3.irfft(x := torch.randn(3, 2 * l + 1), res), peer.irfft(x, res))


def test_rotation_grid():
    ours, theirs = o3.SO3Grid(2, 4), peer.SO3Grid(2, 4)
    for name, value in theirs.state_dict().items():
        _close(ours.state_dict()[name], value)
    x = torch.randn(3, 35)
    signal = theirs.to_grid(x)
    _close(ours.to_grid(x), signal)
    _close(ours.from_grid(signal), theirs.from_grid(signal))

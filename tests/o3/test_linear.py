"""Linear and Norm: definition, biases, outer axes, errors."""

import re

import pytest
import torch

from symscape import o3


def test_definition_with_biases() -> None:
    torch.manual_seed(0)
    linear = o3.Linear("2x0e + 3x1o + 1x0e", "3x0e + 2x1o + 1x0e + 1e", biases=True).double()
    with torch.no_grad():
        linear.bias.copy_(torch.randn(4))
    x = torch.randn(5, 12, dtype=torch.float64)
    w = {(ins.i_in, ins.i_out): v for _, ins, v in linear.weight_views(yield_instruction=True)}
    # scalars come from 2 + 1 copies, vectors from 3
    s3, v3 = 3**-0.5, 3**-0.5
    scalars, vectors, last = x[:, :2], x[:, 2:11].view(5, 3, 3), x[:, 11:]
    expected = torch.cat(
        [
            s3 * (scalars @ w[0, 0] + last @ w[2, 0]) + linear.bias[:3],
            (v3 * torch.einsum("zui,uw->zwi", vectors, w[1, 1])).flatten(1),
            s3 * (scalars @ w[0, 2] + last @ w[2, 2]) + linear.bias[3:],
            torch.zeros(5, 3, dtype=torch.float64),
        ],
        dim=1,
    )
    torch.testing.assert_close(linear(x), expected, rtol=1e-12, atol=1e-12)
    assert linear.output_mask.tolist() == [1.0] * 10 + [0.0] * 3


@pytest.mark.parametrize("biases", [[True, False, False], [False, False, True], True, False])
def test_which_blocks_have_biases(biases) -> None:
    linear = o3.Linear("1o", "2x0e + 1o + 0e", biases=biases).double()
    flags = [True, False, True] if biases is True else biases or [False] * 3
    assert linear.bias_numel == 2 * flags[0] + flags[2]
    with torch.no_grad():
        linear.bias += 7.0
    out = linear(torch.zeros(1, 3, dtype=torch.float64))[0]
    assert out.tolist() == [7.0 * flags[0]] * 2 + [0.0] * 3 + [7.0 * flags[2]]


@pytest.mark.parametrize("shared", [True, False])
def test_outer_axes(shared: bool) -> None:
    torch.manual_seed(0)
    linear = o3.Linear("2x0e+1o", "3x0e+2x1o", f_in=2, f_out=3, biases=True, shared_weights=shared)
    leading = () if shared else (4,)
    w = torch.randn(*leading, 2, 3, linear.weight_numel, dtype=torch.float64)
    b = torch.randn(*leading, 3, 3, dtype=torch.float64)
    x = torch.randn(4, 2, 5, dtype=torch.float64)
    out = linear(x, w, b)
    assert out.shape == (4, 3, 9)
    one = o3.Linear("2x0e+1o", "3x0e+2x1o", shared_weights=shared)
    for beta in range(3):
        expected = sum(one(x[:, a], w[..., a, beta, :]) for a in range(2)) / 2**0.5
        expected[:, :3] += b[..., beta, :]
        torch.testing.assert_close(out[:, beta], expected, rtol=1e-12, atol=1e-12)


def test_variance_is_one_for_both_normalizations() -> None:
    for mode in ("element", "path"):
        linear = o3.Linear("4x0e + 2x0e", "3x0e", path_normalization=mode)
        variance = sum(ins.path_shape[0] * ins.path_weight**2 for ins in linear.instructions)
        assert variance == pytest.approx(1.0, rel=1e-14)


def test_chosen_paths() -> None:
    linear = o3.Linear("2x0e + 1x0e", "1x0e + 1x0e", instructions=[(0, 1), (1, 1)])
    assert [ins[:2] for ins in linear.instructions] == [(0, 1), (1, 1)]
    assert linear.output_mask.tolist() == [0.0, 1.0]
    assert o3.Linear("2x0e", "3x0e", instructions=[])(torch.randn(4, 2)).eq(0).all()


def test_composition_is_linear_in_the_weights() -> None:
    """Two layers in a row are one whose weights are the matrix product, up to coefficients."""
    first, second = o3.Linear("4x1o", "3x1o").double(), o3.Linear("3x1o", "2x1o").double()
    both = o3.Linear("4x1o", "2x1o").double()
    x = torch.randn(5, 12, dtype=torch.float64)
    w = first.weight.view(4, 3) @ second.weight.view(3, 2) / 3**0.5
    torch.testing.assert_close(second(first(x)), both(x, w.flatten()), rtol=1e-12, atol=1e-12)


_WRONG = {
    "different irreps": ({"instructions": [(1, 0)]}, "got 1x1o of irreps_in and 3x0e of"),
    "no such block": ({"instructions": [(2, 0)]}, "(2, 0) must be numbers of blocks"),
    "bias of a vector": ({"biases": [False, True]}, "biases exist for scalars (0e) only"),
    "number of flags": ({"biases": [True]}, "a flag or one for each block of irreps_out"),
    "one outer axis": ({"f_in": 2}, "f_in and f_out must be given together; got 2 and None"),
    "normalization": ({"path_normalization": "none"}, "must be one of element, path; got 'none'"),
    "flags": ({"shared_weights": False, "internal_weights": True}, "needs shared_weights = True"),
}


@pytest.mark.parametrize("which", list(_WRONG))
def test_wrong_arguments_are_refused(which: str) -> None:
    kwargs, message = _WRONG[which]
    with pytest.raises(ValueError, match=re.escape(message)):
        o3.Linear("2x0e+1o", "3x0e+1o", **kwargs)


def test_wrong_calls_are_refused() -> None:
    linear = o3.Linear("2x0e", "3x0e", biases=True)
    x = torch.randn(4, 2)
    with pytest.raises(ValueError, match=re.escape("weight must have the shape (6,)")):
        linear(x, torch.randn(5))
    with pytest.raises(ValueError, match=re.escape("bias must have the shape (..., 3)")):
        linear(x, None, torch.randn(2))
    with pytest.raises(ValueError, match="bias and features must have the same dtype"):
        linear(x, None, torch.zeros(3).double())
    outer = o3.Linear("2x0e", "3x0e", f_in=2, f_out=1)
    with pytest.raises(ValueError, match=re.escape("must have the shape (..., 2, 2), of 2x0e")):
        outer(torch.randn(4, 2, 3))
    free = o3.Linear("2x0e", "3x0e", biases=True, internal_weights=False)
    with pytest.raises(ValueError, match=re.escape("weight must be given, of shape (6,)")):
        free(x)
    with pytest.raises(ValueError, match=re.escape("bias must be given, of shape (..., 3)")):
        free(x, torch.randn(6))


def test_norm_in_closed_form() -> None:
    norm = o3.Norm("1o + 2x0e")
    x = torch.tensor([[3.0, 4.0, 12.0, -2.0, 0.0], [0.0, 0.0, 0.0, 1.0, 5.0]])
    torch.testing.assert_close(norm(x), torch.tensor([[13.0, 2.0, 0.0], [0.0, 1.0, 5.0]]))
    squared = o3.Norm("1o + 2x0e", squared=True)
    torch.testing.assert_close(squared(x), norm(x).square())


def test_gradient_of_the_norm_at_zero_is_zero() -> None:
    x = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(o3.Norm("1o")(x).sum(), x, create_graph=True)
    assert torch.equal(grad, torch.zeros_like(x))
    x = torch.tensor([[3.0, 0.0, 4.0]], dtype=torch.float64, requires_grad=True)
    o3.Norm("1o")(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([[0.6, 0.0, 0.8]], dtype=torch.float64))

"""What every module of the tensor-product half can do: one suite for all of them."""

import copy
import io
import pickle

import pytest
import torch
from product_cases import Case, all_modules
from torch.func import functional_call, jacrev, vmap

from symscape import o3


def _random_rotation(reflect: bool, seed: int = 1) -> torch.Tensor:
    torch.manual_seed(seed)
    R = o3.rand_matrix(dtype=torch.float64)
    return -R if reflect else R


@all_modules
@pytest.mark.parametrize("reflect", [False, True])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_equivariant_under_rotations_and_reflections(name, reflect, dtype, bound) -> None:
    case = Case(name, dtype, batch=20)
    R = _random_rotation(reflect)
    D_in = [irreps.D_from_matrix(R).to(dtype) for irreps in case.irreps_in]
    D_out = case.irreps_out.D_from_matrix(R).to(dtype)
    out = case.module(*case.inputs).detach()
    rotated = case.module(*(x @ D.T for x, D in zip(case.inputs, D_in))).detach()
    assert out.shape == (20, case.irreps_out.dim)
    assert out.abs().max() > 0.1
    assert (rotated - out @ D_out.T).abs().max() <= bound * max(1.0, float(out.abs().max()))


@all_modules
def test_derivatives(name) -> None:
    case = Case(name, batch=2)
    parameters = dict(case.module.named_parameters())
    names, values = list(parameters), [p.detach() for p in parameters.values()]

    def function(*args):
        xs, ws = args[: len(case.inputs)], args[len(case.inputs) :]
        return functional_call(case.module, dict(zip(names, ws)), xs)

    args = [t.clone().requires_grad_() for t in (*case.inputs, *values)]
    assert torch.autograd.gradcheck(function, args)
    # random projections of the second derivatives: the full ones are quadratic in the inputs
    assert torch.autograd.gradgradcheck(
        function,
        args,
        gen_non_contig_grad_outputs=True,
        fast_mode=True,
    )


@all_modules
def test_leading_dimensions_and_layout_of_memory(name) -> None:
    case = Case(name, batch=6)
    expected = case.module(*case.inputs)
    shaped = case.module(*(x.unflatten(0, (2, 3)) for x in case.inputs))
    torch.testing.assert_close(shaped, expected.unflatten(0, (2, 3)), rtol=1e-13, atol=1e-13)
    single = case.module(*(x[4] for x in case.inputs))
    torch.testing.assert_close(single, expected[4], rtol=1e-13, atol=1e-13)
    strided = [torch.stack([x, x], dim=-1).flatten(-2)[..., ::2] for x in case.inputs]
    torch.testing.assert_close(case.module(*strided), expected, rtol=1e-13, atol=1e-13)
    columns = [x.T.contiguous().T for x in case.inputs]
    torch.testing.assert_close(case.module(*columns), expected, rtol=1e-13, atol=1e-13)
    stride_0 = [x[:1].expand(4, -1) for x in case.inputs]
    torch.testing.assert_close(
        case.module(*stride_0), expected[:1].expand(4, -1), rtol=1e-13, atol=1e-13
    )


@all_modules
def test_gradient_through_inputs_of_stride_0(name) -> None:
    case = Case(name, batch=1)
    xs = [x.clone().requires_grad_() for x in case.inputs]
    total = case.module(*(x.expand(4, -1) for x in xs)).sum()
    expected = torch.autograd.grad(4 * case.module(*xs).sum(), xs)
    torch.testing.assert_close(torch.autograd.grad(total, xs), expected, rtol=1e-12, atol=1e-12)


@all_modules
def test_empty_batch(name) -> None:
    case = Case(name)
    xs = [x.requires_grad_() for x in case.sample(0)]
    out = case.module(*xs)
    assert out.shape == (0, case.irreps_out.dim)
    out.sum().backward()
    assert all(x.grad.shape == x.shape for x in xs)
    assert all((p.grad == 0).all() for p in case.module.parameters())


@all_modules
def test_nan_goes_through_and_stays_in_its_sample(name) -> None:
    case = Case(name, batch=4)
    expected = case.module(*case.inputs)
    case.inputs[0][2] = torch.nan
    out = case.module(*case.inputs)
    mask = getattr(case.module, "output_mask", torch.ones(case.irreps_out.dim)).bool()
    assert out[2, mask].isnan().all()
    keep = [0, 1, 3]
    torch.testing.assert_close(out[keep], expected[keep], rtol=1e-13, atol=1e-13)


@all_modules
def test_copies_and_files(name) -> None:
    case = Case(name)
    expected = case.module(*case.inputs)
    for module in (copy.deepcopy(case.module), pickle.loads(pickle.dumps(case.module))):
        assert torch.equal(module(*case.inputs), expected)
        assert repr(module) == repr(case.module)
    file = io.BytesIO()
    torch.save(case.module.state_dict(), file)
    file.seek(0)
    fresh = Case(name)
    for parameter in fresh.module.parameters():
        torch.nn.init.zeros_(parameter)
    fresh.module.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(fresh.module(*case.inputs), expected)


@all_modules
def test_function_transforms(name) -> None:
    case = Case(name, batch=3)
    expected = case.module(*case.inputs)
    mapped = vmap(case.module)(*case.inputs)
    torch.testing.assert_close(mapped, expected, rtol=1e-13, atol=1e-13)
    jacobian = vmap(jacrev(case.module))(*case.inputs)
    x = case.inputs[0].clone().requires_grad_()
    rows = torch.stack(
        [
            torch.autograd.grad(case.module(x, *case.inputs[1:])[:, a].sum(), x)[0]
            for a in range(case.irreps_out.dim)
        ],
        dim=1,
    )
    torch.testing.assert_close(jacobian, rows, rtol=1e-12, atol=1e-12)


@all_modules
def test_compiled_without_graph_breaks(name) -> None:
    torch.compiler.reset()
    case = Case(name)
    compiled = torch.compile(case.module, fullgraph=True, backend="aot_eager")
    xs = [x.clone().requires_grad_() for x in case.inputs]
    out = compiled(*xs)
    expected = case.module(*xs)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        torch.autograd.grad(out.square().sum(), xs),
        torch.autograd.grad(expected.square().sum(), xs),
        rtol=1e-11,
        atol=1e-11,
    )


@all_modules
def test_exported(name) -> None:
    case = Case(name)
    program = torch.export.export(case.module, tuple(case.inputs))
    torch.testing.assert_close(
        program.module()(*case.inputs), case.module(*case.inputs), rtol=1e-12, atol=1e-12
    )


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
@all_modules
def test_traced(name) -> None:
    """For batches of any size, differentiable, and in a file."""
    case = Case(name)
    traced = torch.jit.trace(case.module, tuple(case.inputs))
    file = io.BytesIO()
    torch.jit.save(traced, file)
    file.seek(0)
    for program in (traced, torch.jit.load(file)):
        inputs = [x.requires_grad_() for x in case.sample(7)]
        found = [f(*inputs) for f in (program, case.module)]
        found += [torch.autograd.grad(out.square().sum(), inputs) for out in found]
        torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found[2], found[3], rtol=1e-11, atol=1e-11)


@all_modules
def test_tensors_without_memory(name) -> None:
    case = Case(name)
    out = case.module.to("meta")(*(x.to("meta") for x in case.inputs))
    assert out.shape == (3, case.irreps_out.dim)


@all_modules
def test_autocast(name) -> None:
    case = Case(name, torch.float32)
    expected = case.module(*case.inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = case.module(*(x.bfloat16() for x in case.inputs))
    # the inputs have 8 bits; the sums are not rounded further
    assert (out.float() - expected).abs().max() <= 0.05 * expected.abs().max()


@all_modules
def test_moved_to_another_dtype(name) -> None:
    case = Case(name, torch.float32)
    expected = case.module(*case.inputs)
    out = case.module.double()(*(x.double() for x in case.inputs))
    assert out.dtype == torch.float64
    torch.testing.assert_close(out.float(), expected, rtol=1e-4, atol=1e-5)


@all_modules
def test_mixed_dtypes_are_refused(name) -> None:
    case = Case(name)
    # Norm and the squares without weights have one input and no parameter to disagree with
    if len(case.inputs) == 1 and not any(True for _ in case.module.parameters()):
        assert case.module(case.inputs[0].float()).dtype == torch.float32
        return
    inputs = [case.inputs[0].float(), *case.inputs[1:]]
    if name.endswith("_v2"):  # these take the wider one, as in e3nn
        assert case.module(*inputs).dtype == torch.float64
        return
    with pytest.raises(ValueError, match=r"dtype.*float(64|32).*float(64|32)"):
        case.module(*inputs)


@all_modules
def test_wrong_width_is_refused(name) -> None:
    case = Case(name)
    inputs = [case.inputs[0][:, 1:], *case.inputs[1:]]
    width = case.irreps_in[0].dim
    with pytest.raises(ValueError, match=rf"{width}.*{width - 1}"):
        case.module(*inputs)

"""What batch, instance and layer normalization make of their input."""

from __future__ import annotations

import pytest
import torch

from symscape import nn

IRREPS = "2x0e+2x0o+3x1o+1x2e"
BLOCKS = {"0e": slice(0, 2), "0o": slice(2, 4), "1o": slice(4, 13), "2e": slice(13, 18)}


def features(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(*shape, 18, generator=generator) + 1.5


def irrep_norms(x: torch.Tensor) -> torch.Tensor:
    """Mean square of the components, for each irrep."""
    squares = x.square()
    return torch.cat(
        [
            squares[..., :4],
            squares[..., 4:13].unflatten(-1, (3, 3)).mean(-1),
            squares[..., 13:].mean(-1, keepdim=True),
        ],
        -1,
    )


def test_batch_norm_gives_unit_mean_squares_and_no_mean_of_invariants() -> None:
    y = nn.BatchNorm(IRREPS, eps=0)(features(10, 7))
    torch.testing.assert_close(irrep_norms(y).mean((0, 1)), torch.ones(8))
    torch.testing.assert_close(y[..., BLOCKS["0e"]].mean((0, 1)), torch.zeros(2))
    assert y[..., BLOCKS["0o"]].mean((0, 1)).abs().min() > 0.1  # no mean may be taken off those


def test_running_averages_and_evaluation() -> None:
    norm = nn.BatchNorm(IRREPS, momentum=0.25, affine=False, eps=0)
    x = features(10, 7)
    mean = x[..., :2].mean((0, 1))
    centered = x.clone()
    centered[..., :2] -= mean
    variance = irrep_norms(centered).mean((0, 1))
    norm(x)
    torch.testing.assert_close(norm.running_mean, 0.25 * mean)
    torch.testing.assert_close(norm.running_var, 0.75 + 0.25 * variance)
    for _ in range(200):
        norm(x)
    trained = norm(x)
    norm.eval()
    torch.testing.assert_close(norm(x), trained)
    state = norm.running_var.clone()
    norm(features(3, 2, seed=1))
    assert torch.equal(state, norm.running_var)


def test_empty_batch_changes_no_running_average() -> None:
    norm = nn.BatchNorm(IRREPS)
    assert norm(torch.zeros(0, 18)).shape == (0, 18)
    assert torch.equal(norm.running_var, torch.ones(8))


def test_norm_instead_of_component() -> None:
    y = nn.BatchNorm(IRREPS, eps=0, normalization="norm")(features(10, 7))
    torch.testing.assert_close(y[..., 13:].square().sum(-1).mean(), torch.ones(()))


def test_instance_norm_treats_each_sample_alone() -> None:
    x = features(4, 9)
    norm = nn.InstanceNorm(IRREPS, eps=0)
    y = norm(x)
    torch.testing.assert_close(irrep_norms(y).mean(1), torch.ones(4, 8))
    torch.testing.assert_close(norm(x[:1]), y[:1])
    torch.testing.assert_close(norm.eval()(x), y)
    torch.testing.assert_close(nn.BatchNorm(IRREPS, eps=0, instance=True)(x), y)


def test_instance_norm_of_graphs_is_that_of_samples() -> None:
    x = features(4, 9)
    norm = nn.InstanceNorm(IRREPS)
    batch = torch.arange(4).repeat_interleave(9)
    order = torch.randperm(36, generator=torch.Generator().manual_seed(0))
    nodes = norm(x.flatten(0, 1)[order], batch[order])
    torch.testing.assert_close(nodes, norm(x).flatten(0, 1)[order])
    with_empty_graph = norm(x.flatten(0, 1)[order], 2 * batch[order], 9)
    torch.testing.assert_close(with_empty_graph, nodes)
    assert norm(x.flatten(0, 1)[:0], batch[:0]).shape == (0, 18)


def test_layer_norm_treats_each_position_alone_over_its_copies() -> None:
    x = features(4, 9)
    norm = nn.LayerNorm(IRREPS, eps=0)
    y = norm(x)
    means = irrep_norms(y)
    for block in (slice(0, 2), slice(2, 4), slice(4, 7), slice(7, 8)):
        torch.testing.assert_close(means[..., block].mean(-1), torch.ones(4, 9))
    torch.testing.assert_close(y[..., :2].sum(-1), torch.zeros(4, 9))
    torch.testing.assert_close(norm(x[2, 3]), y[2, 3])


def test_weights_and_biases() -> None:
    for cls in (nn.BatchNorm, nn.InstanceNorm, nn.LayerNorm):
        norm = cls(IRREPS)
        x = features(4, 9)
        plain = norm(x)
        with torch.no_grad():
            norm.weight.copy_(torch.arange(1.0, 9.0))
            norm.bias.copy_(torch.tensor([5.0, 7.0]))
        components = torch.tensor([1.0, 2, 3, 4, 5, 5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 8, 8, 8])
        shift = torch.tensor([5.0, 7.0] + 16 * [0.0])
        torch.testing.assert_close(norm(x), plain * components + shift)
        assert set(cls(IRREPS, affine=False).state_dict()) <= {"running_mean", "running_var"}
        assert "bias" not in cls(IRREPS, include_bias=False).state_dict()


def test_half_precision_keeps_its_type_and_large_values() -> None:
    x = (300 * features(4, 9)).half()
    for cls in (nn.BatchNorm, nn.InstanceNorm, nn.LayerNorm):
        y = cls(IRREPS)(x)
        assert y.dtype is torch.float16
        assert torch.isfinite(y).all()


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="reduce"):
        nn.BatchNorm(IRREPS, reduce="sum")
    with pytest.raises(ValueError, match="normalization"):
        nn.LayerNorm(IRREPS, normalization="integral")
    with pytest.raises(ValueError, match="eps"):
        nn.InstanceNorm(IRREPS, eps=-1)
    with pytest.raises(ValueError, match="input: shape"):
        nn.BatchNorm(IRREPS)(torch.zeros(18))
    with pytest.raises(ValueError, match="input: shape"):
        nn.InstanceNorm(IRREPS)(torch.zeros(4, 18))
    with pytest.raises(ValueError, match="batch: shape"):
        nn.InstanceNorm(IRREPS)(torch.zeros(4, 18), torch.zeros(3, dtype=torch.long))


def test_dropout_drops_whole_irreps_of_a_sample() -> None:
    torch.manual_seed(0)
    dropout = nn.Dropout(IRREPS, 0.5)
    y = dropout(torch.ones(400, 3, 18))
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert torch.equal(
        y[..., 4:13].unflatten(-1, (3, 3)), y[..., 4:13:3].unsqueeze(-1).expand(-1, -1, 3, 3)
    )
    assert set(y.unique().tolist()) == {0.0, 2.0}
    assert (y[:, 0, 13] == 0).float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert dropout(torch.ones(18)).shape == (18,)
    assert torch.equal(dropout.eval()(torch.ones(2, 18)), torch.ones(2, 18))
    assert nn.Dropout(IRREPS, 1)(torch.ones(2, 18)).count_nonzero() == 0
    with pytest.raises(ValueError, match=r"p: 1\.5"):
        nn.Dropout(IRREPS, 1.5)

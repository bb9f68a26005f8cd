"""The general POMDP: steady states four ways, gains, gradients, the elimination without reset."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from symscape.bandit import POMDP, mean_reward, steady_state, steady_state_without_reset


def random_pomdp(seed: int, n: int = 5, actions: int = 3, observations: int = 4) -> POMDP:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    transition, observation = draw(actions, n, n), draw(observations, n)
    start = draw(n)
    return POMDP(
        transition / transition.sum(1, keepdim=True),
        observation / observation.sum(0),
        draw(n) - 0.5,
        start / start.sum(),
    )


def random_policy(seed: int, observations: int = 4, actions: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(100 + seed)
    return torch.randn(observations, actions, generator=generator, dtype=torch.float64).softmax(-1)


def by_squaring(T: Tensor, start: Tensor, reset: float) -> Tensor:
    """Algorithm 1 of the chapter."""
    M = reset * start[:, None] + (1 - reset) * T
    while float((M - M[:, :1]).abs().max()) > 1e-12:
        M = M @ M
    return M[:, 0]


def test_transition_matrix_is_the_sum_over_observations_and_actions() -> None:
    pomdp, policy = random_pomdp(0), random_policy(0)
    T = pomdp.transition_matrix(policy)
    torch.testing.assert_close(T.sum(0), torch.ones(5, dtype=torch.float64))
    expected = sum(
        pomdp.transition[a, 3, 1] * policy[o, a] * pomdp.observation[o, 1]
        for o in range(4)
        for a in range(3)
    )
    torch.testing.assert_close(T[3, 1], torch.as_tensor(expected))


@pytest.mark.parametrize("reset", [0.3, 1e-2, 1e-4])
def test_steady_states_by_solve_and_by_squaring_agree(reset: float) -> None:
    pomdp, policy = random_pomdp(1), random_policy(1)
    p = pomdp.steady_state(policy, reset)
    torch.testing.assert_close(
        p, by_squaring(pomdp.transition_matrix(policy), pomdp.start, reset), rtol=1e-9, atol=1e-11
    )
    torch.testing.assert_close(p.sum(), torch.ones((), dtype=torch.float64))


def test_gain_is_the_discounted_sum() -> None:
    pomdp, policy = random_pomdp(2), random_policy(2)
    summed = pomdp.gain_of_horizon(policy, 400, discount=0.9)
    torch.testing.assert_close(pomdp.gain(policy, 0.9), summed, rtol=1e-12, atol=0)


def test_gain_of_a_horizon_counts_the_first_rewards() -> None:
    pomdp, policy = random_pomdp(3), random_policy(3)
    p1 = pomdp.transition_matrix(policy) @ pomdp.start
    torch.testing.assert_close(
        pomdp.gain_of_horizon(policy, 2), (pomdp.start + p1) @ pomdp.reward, rtol=1e-13, atol=0
    )


def test_gradients_are_those_of_finite_differences() -> None:
    pomdp = random_pomdp(4)
    logits = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda w: pomdp.mean_reward(w.softmax(-1), 0.05), (logits,))
    T, start, reward = (x.clone().requires_grad_() for x in _system(pomdp))
    assert torch.autograd.gradcheck(lambda *x: mean_reward(*x, 0.2), (T, start, reward))


def test_second_derivatives_are_those_of_finite_differences() -> None:
    leaves = tuple(x.clone().requires_grad_() for x in _system(random_pomdp(8)))
    assert torch.autograd.gradgradcheck(lambda *x: mean_reward(*x, 0.2), leaves)


def test_adjoint_gradient_is_that_of_autograd_through_the_solve() -> None:
    T, start, reward = _system(random_pomdp(5))
    gradients = []
    for value in (
        lambda T: mean_reward(T, start, reward, 0.01),
        lambda T: steady_state(T, start, 0.01) @ reward,
    ):
        leaf = T.clone().requires_grad_()
        gradients.append(torch.autograd.grad(value(leaf), leaf)[0])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-11, atol=1e-12)


def _system(pomdp: POMDP) -> tuple[Tensor, Tensor, Tensor]:
    return pomdp.transition_matrix(random_policy(5)), pomdp.start, pomdp.reward


def test_without_reset_is_the_limit_of_small_resets() -> None:
    pomdp = random_pomdp(6)
    T = pomdp.transition_matrix(random_policy(6))
    torch.testing.assert_close(
        steady_state_without_reset(T, pomdp.start),
        steady_state(T, pomdp.start, 1e-8),
        rtol=1e-6,
        atol=0,
    )


def test_without_reset_keeps_relative_accuracy_at_tiny_rates() -> None:
    a, b = 1e-200, 3e-180
    T = torch.tensor([[1.0, b], [a, 1.0]], dtype=torch.float64)
    p = steady_state_without_reset(T, torch.tensor([1.0, 0.0], dtype=torch.float64))
    torch.testing.assert_close(
        p[1] / p[0], torch.tensor(a / b, dtype=torch.float64), rtol=1e-14, atol=0
    )


def test_states_that_are_left_for_ever_have_no_weight() -> None:
    T = torch.tensor([[0.5, 0.0, 0.0], [0.5, 0.2, 0.6], [0.0, 0.8, 0.4]], dtype=torch.float64)
    p = steady_state_without_reset(T, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    assert p[0] == 0
    torch.testing.assert_close(T @ p, p)


def test_two_closed_classes_are_refused() -> None:
    start = torch.tensor([0.5, 0.5], dtype=torch.float64)
    with pytest.raises(ValueError, match="2 closed classes"):
        steady_state_without_reset(torch.eye(2, dtype=torch.float64), start)


def test_wrong_input_is_named() -> None:
    pomdp, policy = random_pomdp(7), random_policy(7)
    T = pomdp.transition_matrix(policy)
    with pytest.raises(ValueError, match="reset: 0 given"):
        steady_state(T, pomdp.start, 0)
    with pytest.raises(ValueError, match="discount: 1 given"):
        pomdp.gain(policy, 1)
    with pytest.raises(ValueError, match="policy: not a distribution"):
        pomdp.transition_matrix(2 * policy)
    with pytest.raises(ValueError, match="policy: shape"):
        pomdp.transition_matrix(policy.T)
    with pytest.raises(ValueError, match="horizon: 0"):
        pomdp.gain_of_horizon(policy, 0)
    with pytest.raises(ValueError, match="transition: not a distribution"):
        POMDP(2 * pomdp.transition, pomdp.observation, pomdp.reward, pomdp.start)
    with pytest.raises(ValueError, match="reward: shape"):
        POMDP(pomdp.transition, pomdp.observation, pomdp.reward[1:], pomdp.start)

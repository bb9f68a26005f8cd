"""Gradient flow, L-BFGS, annealing, local optima, and the search that uses no gradient."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from symscape.bandit import (
    RAM,
    Bandit,
    Logits,
    Memento,
    Memory,
    Policy,
    anneal,
    best_deterministic_policy,
    ccp_best_epsilon,
    ccp_policy,
    ccp_q,
    gradient_flow,
    local_optima,
    minimize,
    two_hypotheses,
)

ARMS = two_hypotheses(0.2)


def at_column(M: int, mu: float, reset: float) -> tuple[Logits, float]:
    """The best column of confidence plus 1e-4, and its q."""
    epsilon = ccp_best_epsilon(M, mu, reset)
    logits = ccp_policy(M, epsilon).logits()
    q = (1 - reset) * ccp_q(M, epsilon, mu, reset) + reset / 2
    return Logits(logits.actions[None], logits.start[None]), q


def test_flow_is_the_solution_of_its_equation() -> None:
    bandit = Bandit(RAM(2), ARMS, 0.05)
    logits = RAM(2).random_logits(1, seed=0)
    flow = gradient_flow(bandit, logits, evaluations=5000, t_max=200.0)
    # Independent: the classical Runge-Kutta method with small steps.
    w, dt = logits, 0.5

    def slope(at: Logits) -> Logits:
        return Logits(*(-2 * 0.2 * g for g in bandit.q_and_gradient(at)[1]))

    def moved(at: Logits, by: Logits, h: float) -> Logits:
        return Logits(*(x + h * g for x, g in zip(at, by)))

    for _ in range(round(200 / dt)):
        k1 = slope(w)
        k2 = slope(moved(w, k1, dt / 2))
        k3 = slope(moved(w, k2, dt / 2))
        k4 = slope(moved(w, k3, dt))
        w = Logits(
            *(x + dt / 6 * (a + 2 * b + 2 * c + d) for x, a, b, c, d in zip(w, k1, k2, k3, k4))
        )
    reached = bandit.q_and_gradient(w)[0]
    start = bandit.q_and_gradient(logits)[0]
    at_200 = flow.q_of_time[0, (flow.times <= 200).sum() - 1]
    assert float(flow.t[0]) >= 200
    assert float(start - reached) > 1e-3
    assert float(flow.q[0]) == pytest.approx(float(reached), abs=0.02 * float(start - reached))
    assert float(reached) < float(at_200) < float(start)


def test_flow_decreases_q_and_every_start_goes_its_own_way() -> None:
    bandit = Bandit(RAM(3), ARMS, 1e-2)
    logits = RAM(3).random_logits(5, seed=1)
    flow = gradient_flow(bandit, logits, evaluations=300)
    alone = gradient_flow(bandit, Logits(logits.actions[2:3], logits.start[2:3]), evaluations=300)
    torch.testing.assert_close(flow.q[2:3], alone.q, rtol=1e-9, atol=0)
    torch.testing.assert_close(flow.t[2:3], alone.t, rtol=1e-9, atol=0)
    curves = flow.q_of_time[:, ~flow.q_of_time.isnan().any(0)]
    assert curves.shape[1] > 8
    assert bool((curves[:, 1:] <= curves[:, :-1]).all())
    torch.testing.assert_close(bandit.q(flow.policy), flow.q, rtol=1e-12, atol=0)


def test_flows_that_reach_their_end_stop() -> None:
    bandit = Bandit(RAM(2), ARMS, 1e-2)
    flow = gradient_flow(bandit, RAM(2).random_logits(3, seed=2), evaluations=500, t_max=30.0)
    assert bool((flow.t >= 30).all())
    assert bool((flow.t < 60).all())
    assert bool((flow.steps < 100).all())


@pytest.mark.parametrize(("M", "reset"), [(3, 1e-3), (5, 1e-4)])
def test_training_comes_back_to_the_column_and_finds_nothing_better(M: int, reset: float) -> None:
    logits, q = at_column(M, 0.2, reset)
    found = minimize(Bandit(RAM(M), ARMS, reset), logits, evaluations=700)
    assert float(found.q[0]) == pytest.approx(q, rel=5e-3)
    down = found.policy.actions[0, 4 * (M - 1) + 1, 2 * (M - 2)]
    assert float(down) == pytest.approx(ccp_best_epsilon(M, 0.2, reset), rel=0.05)


def test_minimize_ends_where_no_gradient_is_left() -> None:
    bandit = Bandit(RAM(2), ARMS, 1e-2)
    logits = RAM(2).random_logits(6, seed=3)
    found = minimize(bandit, logits, evaluations=2000, tolerance=1e-6)
    q, gradient = bandit.q_and_gradient(found.logits)
    torch.testing.assert_close(q, found.q, rtol=1e-12, atol=0)
    largest = (gradient.actions.flatten(1).abs().amax(1) / q)[found.converged]
    assert int(found.converged.sum()) >= 4
    assert float(largest.max()) <= 1e-6
    assert bool((found.q < bandit.q_and_gradient(logits)[0]).all())


def test_every_start_comes_to_rest_and_certainty_stays() -> None:
    bandit = Bandit(RAM(4), two_hypotheses(0.1), 1e-3)
    flow = gradient_flow(bandit, RAM(4).random_logits(10, seed=0), evaluations=200)
    found = minimize(bandit, flow.logits, evaluations=1000)
    assert bool(found.converged.all())
    assert float(found.gradient.max()) <= 1e-6
    certain = ccp_policy(4, 0.1).logits(floor=0)  # logits of minus infinity
    found = minimize(bandit, Logits(certain.actions[None], certain.start[None]), evaluations=200)
    assert bool(found.converged.all())
    assert float(found.q[0]) <= float(bandit.q(ccp_policy(4, 0.1)))
    impossible = ccp_policy(4, 0.1).actions == 0
    assert float(found.policy.actions[0][impossible].max()) == 0


def test_annealing_follows_the_optimum_to_small_resets() -> None:
    logits = RAM(2).column_logits(8, seed=4)
    found = anneal(RAM(2), ARMS, [1e-1, 1e-2, 1e-3], logits, evaluations=300)
    _, q = at_column(2, 0.2, 1e-3)
    assert float(found.q.min()) == pytest.approx(q, rel=1e-2)


def by_brute_force(bandit: Bandit) -> float:
    """The best q of all deterministic policies that start in the first memory state."""
    memory = bandit.memory
    A = memory.n_actions
    rows = [range(A)] * (2 * memory.n_choices)
    best = 1.0
    start = torch.zeros(memory.n_starts, dtype=torch.float64)
    start[0] = 1.0
    for first in range(A):
        played = torch.tensor(list(itertools.product(*rows)))
        for part in played.split(8192):
            actions = torch.cat([part, torch.full((len(part), memory.n_starts), first)], 1)
            policy = Policy(F.one_hot(actions, A).double(), start.expand(len(part), -1))
            best = min(best, float(bandit.q(policy).min()))
    return best


@pytest.mark.parametrize("memory", [RAM(1), Memento(1)], ids=repr)
def test_search_is_exhaustive(memory: Memory) -> None:
    bandit = Bandit(memory, two_hypotheses(0.3), 0.1)
    found = best_deterministic_policy(bandit)
    assert found.proven
    assert found.q == pytest.approx(by_brute_force(bandit), rel=1e-12)
    assert float(bandit.q(found.policy)) == pytest.approx(found.q, rel=1e-12)


@pytest.mark.slow
def test_search_of_a_ram_of_two_is_exhaustive() -> None:
    for reset in (0.1, 1e-3):
        bandit = Bandit(RAM(2), two_hypotheses(0.3), reset)
        assert best_deterministic_policy(bandit).q == pytest.approx(
            by_brute_force(bandit), rel=1e-12
        )


def test_no_deterministic_policy_beats_the_trained_one() -> None:
    bandit = Bandit(RAM(2), two_hypotheses(0.3), 0.03)
    oracle = best_deterministic_policy(bandit)
    assert oracle.proven
    assert oracle.nodes > 100
    trained = minimize(bandit, RAM(2).column_logits(20, seed=5), evaluations=400)
    assert float(trained.q.min()) <= oracle.q
    assert bool(((oracle.policy.actions == 0) | (oracle.policy.actions == 1)).all())


def test_search_that_is_cut_says_so() -> None:
    found = best_deterministic_policy(Bandit(RAM(3), ARMS, 0.01), max_nodes=500)
    assert not found.proven
    assert 0 < found.bound < found.q


def test_levels_and_success() -> None:
    q = torch.tensor([0.2, 0.1, 0.1000001, 0.3, 0.2], dtype=torch.float64)
    found = local_optima(q)
    assert found.counts.tolist() == [2, 2, 1]
    torch.testing.assert_close(found.levels, torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64))
    share, low, high = found.success_rate(0.1, 0.01)
    assert share == pytest.approx(0.4)
    assert low < share < high
    assert local_optima(q[:1]).success_rate(0.5, 0)[2] == 1.0


def test_logits_and_policies_do_not_pass_for_each_other() -> None:
    bandit = Bandit(RAM(2), two_hypotheses(0.5), 0.1)
    logits = RAM(2).random_logits(1, seed=0)
    policy = Policy.from_logits(logits)
    flow = gradient_flow(bandit, logits, evaluations=5)
    for wrong in (logits, flow, policy.actions):
        for method in (bandit.q, bandit.gain, bandit.choices, bandit.observations, RAM(2).swap):
            with pytest.raises(TypeError, match=r"policy: .* given; allowed: Policy"):
                method(wrong)  # type: ignore[arg-type, operator]
        with pytest.raises(TypeError, match=r"policy: .* given; allowed: Policy"):
            bandit.q_of_horizon(wrong, 3)  # type: ignore[arg-type]
    for wrong in (policy, flow, logits.actions):
        with pytest.raises(TypeError, match=r"logits: .* given; allowed: Logits"):
            Policy.from_logits(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"logits: .* given; allowed: Logits"):
            bandit.q_and_gradient(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"logits: .* given; allowed: Logits"):
            gradient_flow(bandit, wrong, evaluations=1)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"logits: .* given; allowed: Logits"):
            minimize(bandit, wrong, evaluations=1)  # type: ignore[arg-type]
    assert 0 <= float(bandit.q(policy)[0]) <= 1


def test_wrong_input_is_named() -> None:
    bandit, logits = Bandit(RAM(2), ARMS, 0.1), RAM(2).random_logits(1, 0)
    with pytest.raises(ValueError, match="evaluations: 0"):
        gradient_flow(bandit, logits, evaluations=0)
    with pytest.raises(ValueError, match="t_max: 0"):
        gradient_flow(bandit, logits, evaluations=1, t_max=0)
    with pytest.raises(ValueError, match="evaluations: 0"):
        minimize(bandit, logits, evaluations=0)
    with pytest.raises(ValueError, match="tolerance: -1"):
        minimize(bandit, logits, evaluations=1, tolerance=-1)
    with pytest.raises(ValueError, match="resets: "):
        anneal(RAM(2), ARMS, [0.1, 0.2], logits, evaluations=1)
    with pytest.raises(ValueError, match="max_nodes: 0"):
        best_deterministic_policy(bandit, max_nodes=0)
    with pytest.raises(ValueError, match="reset: 0"):
        best_deterministic_policy(Bandit(RAM(1), ARMS, 0.0))
    with pytest.raises(ValueError, match="q: "):
        local_optima(torch.zeros(2))
    with pytest.raises(ValueError, match="tolerance: 0"):
        local_optima(torch.ones(2), 0)
    with pytest.raises(ValueError, match="reference: 0"):
        local_optima(torch.ones(2)).success_rate(0, 0.1)

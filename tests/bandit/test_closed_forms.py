"""Chains, the column of confidence, necklaces: closed forms against dense solves and counting."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from symscape.bandit import (
    RAM,
    Bandit,
    HellmanCover,
    Memento,
    Policy,
    bayes_q,
    ccp_best_epsilon,
    ccp_epsilon_prefactor,
    ccp_odds,
    ccp_policy,
    ccp_profile,
    ccp_q,
    chain_crossing,
    chain_end_probability,
    gray_necklaces,
    hellman_cover_policy,
    hellman_cover_q,
    likelihood_ratio,
    n_necklaces,
    necklace_odds,
    necklace_of,
    necklace_policy,
    necklace_q,
    steady_state_without_reset,
    two_hypotheses,
    ucb_worse_plays,
)

rates = st.lists(st.tuples(st.floats(0.01, 0.5), st.floats(0.01, 0.5)), min_size=1, max_size=8)


@given(rates)
@settings(max_examples=30, deadline=None)
def test_crossing_is_that_of_the_absorbing_chain(sites: list[tuple[float, float]]) -> None:
    left, right = zip(*sites)
    n = len(sites)
    step = np.diag([1 - l - r for l, r in sites])
    step += np.diag(right[:-1], 1) + np.diag(left[1:], -1)
    leave = np.zeros(n)
    leave[-1] = right[-1]
    crossed = np.linalg.solve(np.eye(n) - step, leave)
    assert chain_crossing(left, right) == pytest.approx(crossed[0], rel=1e-9)
    back = chain_crossing(right[::-1], left[::-1])
    ratio = math.prod(l / r for l, r in sites)
    assert back / chain_crossing(left, right) == pytest.approx(ratio, rel=1e-9)


@given(rates, st.sampled_from([1.0, 0.1, 1e-6]), st.floats(0.1, 0.9), st.floats(0.1, 0.9))
@settings(max_examples=30, deadline=None)
def test_ends_of_a_chain(
    sites: list[tuple[float, float]], epsilon: float, R: float, L: float
) -> None:
    left = [0.0, *(l for l, _ in sites), epsilon * L]
    right = [epsilon * R, *(r for _, r in sites), 0.0]
    n = len(left)
    T = torch.zeros(n, n, dtype=torch.float64)
    for i in range(n):
        if i > 0:
            T[i - 1, i] = left[i]
        if i < n - 1:
            T[i + 1, i] = right[i]
        T[i, i] = 1 - left[i] - right[i]
    p = steady_state_without_reset(T, torch.ones(n, dtype=torch.float64) / n)
    expected = chain_end_probability(left[1:-1], right[1:-1], R, L)
    # The ratio of the ends is the same at every epsilon.
    assert float(p[-1] / (p[0] + p[-1])) == pytest.approx(expected, rel=1e-9)


def test_long_chains_do_not_overflow() -> None:
    assert chain_end_probability([0.4] * 3000, [0.1] * 3000, 0.5, 0.5) == 0.0
    assert chain_end_probability([0.1] * 3000, [0.4] * 3000, 0.5, 0.5) == 1.0
    assert chain_end_probability([0.4] * 600, [0.1] * 600, 0.5, 0.5) == pytest.approx(
        math.exp(-600 * math.log(4)), rel=1e-9
    )


@pytest.mark.parametrize(
    ("M", "epsilon", "mu", "reset"),
    [(2, 0.7, 0.4, 0.2), (5, 0.03, 0.1, 1e-3), (8, 1.0, 0.999, 0.5), (3, 0.3, 1.0, 0.1)],
)
def test_column_against_the_dense_solve(M: int, epsilon: float, mu: float, reset: float) -> None:
    q = ccp_q(M, epsilon, mu, reset)
    assert float(ccp_profile(M, epsilon, mu, reset)[M:].sum()) == pytest.approx(q, rel=1e-10)
    # An agent that spends its first step in its start is wrong half of that time.
    bandit = Bandit(RAM(M), two_hypotheses(mu), reset)
    assert float(bandit.q(ccp_policy(M, epsilon))) == pytest.approx(
        (1 - reset) * q + reset / 2, rel=1e-10
    )


def test_profile_solves_the_walk_along_the_line() -> None:
    M, epsilon, mu, r = 6, 0.2, 0.3, 0.01
    p = ccp_profile(M, epsilon, mu, r).numpy()
    left, right = np.full(2 * M, (1 + mu) / 2), np.full(2 * M, (1 - mu) / 2)
    left[-1] *= epsilon
    right[0] *= epsilon
    flow = np.zeros((2 * M, 2 * M))
    for i in range(2 * M):
        a, b = left[i] * (i > 0), right[i] * (i < 2 * M - 1)
        if i > 0:
            flow[i - 1, i] = a
        if i < 2 * M - 1:
            flow[i + 1, i] = b
        flow[i, i] = 1 - a - b
    source = np.zeros(2 * M)
    source[M - 1 : M + 1] = r / 2
    np.testing.assert_allclose(p, source + (1 - r) * flow @ p, atol=1e-13)
    # In the bulk it is a sum of two exponentials with product of the bases alpha.
    ratio = np.linalg.lstsq(np.stack([p[2:5], p[1:4]], 1)[:2], p[3:5], rcond=None)[0]
    w1, w2 = np.roots([1, -ratio[0], -ratio[1]])
    assert w1 * w2 == pytest.approx(likelihood_ratio(mu), rel=1e-8)
    assert w1 + w2 == pytest.approx(2 / ((1 - r) * (1 + mu)), rel=1e-8)


@pytest.mark.parametrize(
    ("M", "mu", "reset", "epsilon", "q"),
    [(5, 0.1, 1e-3, 0.0447395, 0.1867913), (10, 0.2, 1e-4, 0.0143665, 0.00301093)],
)
def test_best_epsilon(M: int, mu: float, reset: float, epsilon: float, q: float) -> None:
    best = ccp_best_epsilon(M, mu, reset)
    assert best == pytest.approx(epsilon, rel=5e-6)
    assert ccp_q(M, best, mu, reset) == pytest.approx(q, rel=5e-6)
    around = [ccp_q(M, best * (1 + d), mu, reset) for d in (-1e-2, 0, 1e-2)]
    assert around[1] < min(around[0], around[2])


def test_best_epsilon_is_one_where_all_exploration_pays() -> None:
    assert ccp_best_epsilon(2, 0.1, 0.9) == 1.0


@pytest.mark.parametrize(
    ("M", "mu", "prefactor"), [(5, 0.1, 1.437808696), (3, 0.2, 1.497073168), (8, 0.3, 1.483872652)]
)
def test_exploration_grows_like_the_root_of_the_reset(M: int, mu: float, prefactor: float) -> None:
    assert ccp_epsilon_prefactor(M, mu) == pytest.approx(prefactor, rel=1e-9)
    exact = [ccp_best_epsilon(M, mu, r) / math.sqrt(r) for r in (1e-8, 1e-10)]
    assert exact[1] == pytest.approx(prefactor, rel=2e-4)
    assert abs(exact[1] - prefactor) < 0.2 * abs(exact[0] - prefactor)  # linear in sqrt(r)


def test_large_memories_forget_their_size() -> None:
    assert ccp_epsilon_prefactor(500, 0.1) == pytest.approx(math.sqrt(2 / 0.99), rel=1e-12)


@pytest.mark.parametrize(
    ("k_best", "k_worst", "M", "odds"), [(0.7, 0.4, 4, 85.75), (0.9, 0.2, 3, 10368)]
)
def test_column_with_any_two_arms(k_best: float, k_worst: float, M: int, odds: float) -> None:
    assert ccp_odds(M, k_best, k_worst) == pytest.approx(odds, rel=1e-12)
    bandit = Bandit(RAM(M), torch.tensor([[k_best, k_worst]], dtype=torch.float64), 0.0)
    q = float(bandit.q(ccp_policy(M, 1e-12)))
    assert 1 / q - 1 == pytest.approx(odds, rel=1e-7)


@pytest.mark.parametrize("M", [2, 4, 10])
def test_walk_of_hellman_and_cover(M: int) -> None:
    policy = hellman_cover_policy(M, 1e-12)
    bandit = Bandit(HellmanCover(M), two_hypotheses(0.3), 0)
    limit = hellman_cover_q(M, likelihood_ratio(0.3))
    assert float(bandit.q(policy)) == pytest.approx(limit, rel=1e-9)
    if M > 2:
        assert float(bandit.q(hellman_cover_policy(M, 0.1))) > 1.01 * limit
        # where the arm may depend on the last reward, half of the states are enough
        column = Bandit(RAM(M // 2), two_hypotheses(0.3), 0).q(ccp_policy(M // 2, 1e-12))
        assert float(column) == pytest.approx(limit, rel=1e-9)
    swapped = HellmanCover(M).swap(policy)
    torch.testing.assert_close(swapped.actions, policy.actions)


def test_odds_beyond_float64_are_infinite() -> None:
    assert necklace_odds(13, 0.55, 0.45) == math.inf
    assert necklace_odds(11, 0.9, 0.1) == math.inf
    assert ccp_odds(2000, 0.7, 0.3) == math.inf
    # just below: (7/3)^(2M - 1) with M = 400 is 10^294
    assert math.log(ccp_odds(400, 0.7, 0.3)) == pytest.approx(799 * math.log(7 / 3), rel=1e-12)


def test_column_is_as_good_as_a_walk_on_twice_the_states() -> None:
    alpha = likelihood_ratio(0.3)
    assert 1 / (1 + ccp_odds(4, 0.65, 0.35)) == pytest.approx(hellman_cover_q(8, alpha), rel=1e-12)
    assert ccp_q(4, 1e-10, 0.3, 0.0) == pytest.approx(hellman_cover_q(8, alpha), rel=1e-8)


def test_number_of_necklaces() -> None:
    expected = [2, 3, 4, 6, 8, 14, 20, 36, 60, 108, 188, 352, 632]
    assert [n_necklaces(m) for m in range(1, 14)] == expected
    words = (format(n, "06b").translate({48: "A", 49: "B"}) for n in range(64))
    assert len({necklace_of(word) for word in words}) == n_necklaces(6)


def test_gray_chains_are_chains_of_the_longest_length() -> None:
    parity = {2: 3, 4: 5, 6: 13, 8: 33, 10: 105, 12: 345}
    for m in range(1, 13):
        chain = gray_necklaces(m)
        assert len(set(chain)) == len(chain) == parity.get(m, n_necklaces(m))
        assert (chain[0], chain[-1]) == ("A" * m, "B" * m)
        assert all(word == necklace_of(word) for word in chain)
        for a, b in zip(chain, chain[1:]):  # noqa: RUF007
            rotations = (b[i:] + b[:i] for i in range(m))
            assert min(sum(x != y for x, y in zip(a, w)) for w in rotations) == 1


@pytest.mark.parametrize(
    ("m", "q"), [(3, 0.1411178624), (4, 0.03876388256), (5, 8.899327409e-4), (7, 2.564641286e-12)]
)
def test_bound_of_the_necklace_policy(m: int, q: float) -> None:
    assert necklace_q(0.1, m) == pytest.approx(q, rel=1e-9)
    assert 1 / (1 + necklace_odds(m, 0.55, 0.45)) == pytest.approx(q, rel=1e-9)


@pytest.mark.parametrize("m", [3, 4, 5])
def test_necklace_policy_reaches_its_bound_from_above(m: int) -> None:
    bandit = Bandit(Memento(m), two_hypotheses(0.1), 0.0)
    excess = [
        float(bandit.q(necklace_policy(m, epsilon0, epsilon1))) / necklace_q(0.1, m) - 1
        for epsilon0, epsilon1 in ((1e-18, 1e-8), (1e-40, 1e-8), (1e-40, 1e-7), (1e-3, 1e-1))
    ]
    assert 0 < excess[0] < 1e-6
    assert excess[2] == pytest.approx(10 * excess[1], rel=1e-2)  # linear in epsilon1 ...
    assert excess[0] > excess[1]  # ... and another part is in epsilon0 / epsilon1
    assert excess[3] > 0


def test_both_chains_of_four_letters_have_the_same_limit() -> None:
    bandit = Bandit(Memento(4), two_hypotheses(0.1), 0.0)
    for middle in ("AABB", "ABAB"):
        policy = necklace_policy(4, 1e-18, 1e-8, ["AAAA", "AAAB", middle, "ABBB", "BBBB"])
        assert float(bandit.q(policy)) == pytest.approx(necklace_q(0.1, 4), rel=1e-6)


def test_necklace_policy_with_any_two_arms() -> None:
    bandit = Bandit(Memento(3), torch.tensor([[0.7, 0.4]], dtype=torch.float64), 0.0)
    q = float(bandit.q(necklace_policy(3, 1e-40, 1e-12)))
    assert 1 / q - 1 == pytest.approx(necklace_odds(3, 0.7, 0.4), rel=1e-8)


def test_necklace_policy_is_symmetric_where_the_chain_is() -> None:
    memory = Memento(3)
    policy = necklace_policy(3, 0.1, 0.3)
    torch.testing.assert_close(memory.swap(policy).actions, policy.actions)


def test_the_column_policy_is_symmetric() -> None:
    policy = ccp_policy(4, 0.2)
    torch.testing.assert_close(RAM(4).swap(policy).actions, policy.actions)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ccp_policy(1, 0.1), "M: 1 given"),
        (lambda: ccp_policy(3, 1.1), "epsilon: 1.1 given"),
        (lambda: ccp_q(3, 0, 0.1, 0.1), "epsilon: 0 given"),
        (lambda: ccp_q(3, 0.1, 0, 0.1), "mu: 0 given"),
        (lambda: ccp_q(3, 0.1, 1.5, 0.1), "mu: 1.5 given"),
        (lambda: ccp_q(3, 0.1, 0.5, 1), "reset: 1 given"),
        (lambda: ccp_best_epsilon(3, 0.1, 0), "reset: 0 given"),
        (lambda: ccp_epsilon_prefactor(3, 1), "mu: 1 given"),
        (lambda: ccp_odds(3, 0.2, 0.4), "k_best, k_worst"),
        (lambda: necklace_odds(3, 1.0, 0.4), "k_best, k_worst"),
        (lambda: necklace_odds(3, 0.6, 0.4, length=1), "length: 1 given"),
        (lambda: hellman_cover_policy(3, 0.1), "M: 3 given; allowed: an even"),
        (lambda: hellman_cover_policy(4, 1.1), "epsilon: 1.1"),
        (lambda: hellman_cover_q(0, 0.5), "M: 0 given"),
        (lambda: hellman_cover_q(2, 1.5), "alpha: 1.5 given"),
        (lambda: chain_crossing([0.1], [0.1, 0.2]), "equal lengths"),
        (lambda: chain_crossing([0.7], [0.7]), "rates 0.7 and 0.7"),
        (lambda: chain_end_probability([0.1], [0.1], 0.0, 0.1), "exit_right: 0.0 given"),
        (lambda: n_necklaces(0), "m: 0 given"),
        (lambda: gray_necklaces(14), "m: 14 given"),
        (lambda: necklace_of("AC"), "word: 'AC' given"),
        (lambda: necklace_q(0.1, 3, 1), "length: 1 given"),
        (lambda: necklace_policy(1, 0.1, 0.1), "m: 1 given"),
        (lambda: necklace_policy(3, 2.0, 0.1), "epsilon0: 2.0 given"),
        (lambda: necklace_policy(3, 0.1, 0.1, ["AAA", "BBB"]), "chain: "),
    ],
)
def test_wrong_input_is_named(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_best_agent_of_m_plays_follows_the_evidence(m: int) -> None:
    memory = Memento(m)
    bandit = Bandit(memory, two_hypotheses(0.3), 0.1)
    # Which arm each history speaks for: that of + on A and - on B, or the other; ties for A.
    actions = torch.zeros(memory.n_observations, 2, dtype=torch.float64)
    for o in range(memory.n_observations):
        for_a = sum((a == "A") == (y == "+") for a, y in zip(*memory.history(o)))
        actions[o, int(2 * for_a < len(memory.history(o)[0]))] = 1.0
    policy = Policy(actions, torch.ones(1, dtype=torch.float64))
    q = float(bandit.q_of_horizon(policy, m))
    assert q == pytest.approx(bayes_q(0.3, m), rel=1e-13)
    if m == 2:
        every = torch.cartesian_prod(*[torch.arange(2)] * 5)  # four histories of one, and the empty
        tables = torch.full((len(every), memory.n_observations, 2), 0.5, dtype=torch.float64)
        tables[:, -5:] = torch.nn.functional.one_hot(every, 2).double()
        start = torch.ones(len(every), 1, dtype=torch.float64)
        assert float(bandit.q_of_horizon(Policy(tables, start), 2).min()) == pytest.approx(q)


def test_plays_of_the_best_agent_have_a_finite_regret() -> None:
    assert bayes_q(0.0, 7) == 0.5
    assert bayes_q(1.0, 10) == pytest.approx(0.05)  # the first play alone is drawn
    regret = [m * bayes_q(0.2, m) for m in (100, 1000, 10_000)]
    assert regret[0] < regret[1] < 1.2 * regret[0]
    assert regret[2] == pytest.approx(regret[1], rel=1e-6)
    with pytest.raises(ValueError, match="plays: 0 given"):
        bayes_q(0.1, 0)
    with pytest.raises(ValueError, match="mu: 2"):
        bayes_q(2, 3)


def test_agents_that_know_nothing_pay_a_logarithm() -> None:
    times = np.array([2, 100, 1000, 4000])
    worse = ucb_worse_plays(0.5, times, agents=100, seed=0)
    assert worse[0] == 1.0
    # Between the bound of Lai and Robbins, ln t / KL, and that of Auer et al., 8 ln t / mu^2.
    divergence = 0.5 * math.log(3)
    logs = np.log(times[1:])
    assert bool((worse[1:] > logs / divergence).all())
    assert bool((worse[1:] < 8 * logs / 0.25 + 1 + math.pi**2 / 3).all())
    assert bool((worse[1:] > times[1:] * [bayes_q(0.5, int(t)) for t in times[1:]]).all())
    assert np.array_equal(worse[:3], ucb_worse_plays(0.5, times[:3], agents=100, seed=0))
    with pytest.raises(ValueError, match="times: "):
        ucb_worse_plays(0.5, np.array([5, 4]), 1, 0)
    with pytest.raises(ValueError, match="agents: 0"):
        ucb_worse_plays(0.5, times, 0, 0)

"""The bandit's fast path against the general POMDP, its symmetries, gradients and limits."""

from __future__ import annotations

import pytest
import torch

from symscape.bandit import (
    POMDP,
    RAM,
    Bandit,
    HellmanCover,
    Logits,
    Memento,
    Memory,
    Policy,
    ccp_policy,
    gradient_flow,
    likelihood_ratio,
    minimize,
    two_hypotheses,
)

MEMORIES = [RAM(1), RAM(3), HellmanCover(2), HellmanCover(6), Memento(1), Memento(2), Memento(3)]


def with_start(pomdp: POMDP, memory: Memory, start: torch.Tensor) -> POMDP:
    """The POMDP of a bandit, started as a policy wants."""
    p = torch.zeros(memory.n_observations, dtype=torch.float64)
    p[2 * memory.n_choices :] = start
    return POMDP(pomdp.transition, pomdp.observation, pomdp.reward, p.repeat(2) / 2)


@pytest.mark.parametrize("memory", MEMORIES, ids=repr)
def test_is_the_general_pomdp_written_out(memory: Memory) -> None:
    bandit = Bandit(memory, two_hypotheses(0.3), 0.02)
    policy = Policy.from_logits(memory.random_logits(3, seed=1))
    horizon = bandit.q_of_horizon(policy, 6)
    for i, gain in enumerate(bandit.gain(policy)):
        pomdp = with_start(bandit.pomdp(), memory, policy.start[i])
        torch.testing.assert_close(
            gain, pomdp.gain(policy.actions[i], 0.98), rtol=1e-11, atol=1e-12
        )
        # Six plays follow the start, whose reward is 0.
        reward = pomdp.gain_of_horizon(policy.actions[i], 7)
        torch.testing.assert_close(6 * 0.3 * (1 - 2 * horizon[i]), reward, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("memory", MEMORIES, ids=repr)
def test_gradients_by_adjoint_autograd_and_finite_differences(memory: Memory) -> None:
    bandit = Bandit(memory, two_hypotheses(0.4), 0.05)
    logits = memory.random_logits(2, seed=2)
    leaves = Logits(*(x.clone().requires_grad_() for x in logits))
    bandit.q(Policy.from_logits(leaves)).sum().backward()
    q, gradient = bandit.q_and_gradient(logits)
    torch.testing.assert_close(q, bandit.q(Policy.from_logits(logits)), rtol=1e-13, atol=0)
    for ours, leaf in zip(gradient, leaves):
        torch.testing.assert_close(ours, leaf.grad, rtol=1e-10, atol=1e-14)
    along = memory.random_logits(2, seed=3)
    step = 1e-5
    moved = [
        bandit.q_and_gradient(Logits(*(x + sign * step * d for x, d in zip(logits, along))))[0]
        for sign in (1, -1)
    ]
    slope = sum((g * d).flatten(1).sum(1) for g, d in zip(gradient, along))
    torch.testing.assert_close((moved[0] - moved[1]) / (2 * step), slope, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("memory", [RAM(2), Memento(2)], ids=repr)
def test_second_derivatives(memory: Memory) -> None:
    bandit = Bandit(memory, two_hypotheses(0.3), 0.1)
    logits = tuple(x.requires_grad_() for x in memory.random_logits(2, seed=11))

    def q(*logits: torch.Tensor) -> torch.Tensor:
        return bandit.q(Policy.from_logits(Logits(*logits)))

    assert torch.autograd.gradgradcheck(q, logits)
    assert torch.autograd.gradgradcheck(lambda w: q(w, logits[1].detach()), logits[:1])
    assert torch.autograd.gradgradcheck(lambda w: q(logits[0].detach(), w), logits[1:])


def test_many_policies_give_what_each_gives_alone() -> None:
    memory = RAM(20)
    bandit = Bandit(memory, two_hypotheses(0.1), 1e-3)
    logits = memory.random_logits(250, seed=4)  # more than are solved together
    q, gradient = bandit.q_and_gradient(logits)
    alone = [bandit.q_and_gradient(Logits(*(x[i : i + 1] for x in logits))) for i in (0, 130, 249)]
    for i, (one, g) in zip((0, 130, 249), alone):
        torch.testing.assert_close(q[i], one[0], rtol=1e-12, atol=0)
        torch.testing.assert_close(gradient.actions[i], g.actions[0], rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(q, bandit.q(Policy.from_logits(logits)), rtol=1e-12, atol=0)


@pytest.mark.parametrize("memory", MEMORIES, ids=repr)
def test_a_policy_blind_to_rewards_or_with_one_arm_gains_nothing(memory: Memory) -> None:
    bandit = Bandit(memory, two_hypotheses(0.6), 0.01)
    policy = Policy.from_logits(memory.random_logits(1, seed=5))
    one_arm = policy.actions.clone()
    plays = memory.arms if memory.successor is None else torch.arange(2)
    one_arm[..., plays == 1] = 0
    one_arm /= one_arm.sum(-1, keepdim=True)
    half = torch.full((1,), 0.5, dtype=torch.float64)
    torch.testing.assert_close(bandit.q(Policy(one_arm, policy.start)), half)
    torch.testing.assert_close(
        bandit.gain(Policy(one_arm, policy.start)), 0 * half, atol=1e-9, rtol=0
    )
    if isinstance(memory, RAM):
        blind = policy.actions.clone()
        blind[:, 1 : 4 * memory.M : 2] = blind[:, 0 : 4 * memory.M : 2]
        torch.testing.assert_close(bandit.q(Policy(blind, policy.start)), half)


@pytest.mark.parametrize("memory", MEMORIES, ids=repr)
def test_arms_may_be_exchanged(memory: Memory) -> None:
    bandit = Bandit(memory, two_hypotheses(0.3), 1e-3)
    policy = Policy.from_logits(memory.random_logits(4, seed=6))
    swapped = memory.swap(policy)
    assert not torch.equal(swapped.actions, policy.actions)
    torch.testing.assert_close(memory.swap(swapped).actions, policy.actions)
    torch.testing.assert_close(bandit.q(swapped), bandit.q(policy), rtol=1e-11, atol=0)


def test_memory_states_may_be_renamed() -> None:
    memory = RAM(4)
    bandit = Bandit(memory, two_hypotheses(0.3), 1e-3)
    policy = Policy.from_logits(memory.random_logits(4, seed=7))
    renamed = memory.relabel(policy, torch.tensor([2, 0, 3, 1]))
    assert not torch.equal(renamed.actions, policy.actions)
    torch.testing.assert_close(bandit.q(renamed), bandit.q(policy), rtol=1e-11, atol=0)


def test_probabilities_sum_to_one() -> None:
    for memory in MEMORIES:
        bandit = Bandit(memory, two_hypotheses(0.3), 0.07)
        policy = Policy.from_logits(memory.random_logits(2, seed=8))
        ones = torch.ones(2, dtype=torch.float64)
        torch.testing.assert_close(bandit.observations(policy).sum(-1), ones)
        torch.testing.assert_close(
            bandit.choices(policy).sum(-1), 0.93 * ones[:, None].repeat(1, 2)
        )


def test_agrees_with_a_simulation() -> None:
    memory, reset, mu = RAM(3), 0.05, 0.5
    bandit = Bandit(memory, two_hypotheses(mu), reset)
    policy = ccp_policy(3, 0.3)
    agents, steps = 4000, 150
    generator = torch.Generator().manual_seed(9)
    better = torch.arange(agents) % 2
    k = torch.tensor([(1 + mu) / 2, (1 - mu) / 2], dtype=torch.float64)
    start = 12 + torch.zeros(agents, dtype=torch.long)
    o = start.clone()
    for _ in range(steps):
        action = torch.multinomial(policy.actions[o], 1, generator=generator).squeeze(1)
        arm = action % 2
        paid = (
            torch.rand(agents, generator=generator, dtype=torch.float64) < k[(arm != better).long()]
        )
        o = 2 * action + (~paid).long()
        back = torch.rand(agents, generator=generator, dtype=torch.float64) < reset
        o = torch.where(back, start, o)
    played = o < 12
    wrong = torch.where(played, (o // 2 % 2 != better).double(), 0.5)
    error = float(wrong.std()) / agents**0.5
    assert abs(float(wrong.mean() - bandit.q(policy))) < 3.5 * error


def test_limits_of_mu() -> None:
    memory = RAM(2)
    policy = Policy.from_logits(memory.random_logits(3, seed=10))
    equal = Bandit(memory, two_hypotheses(0.0), 0.1)
    torch.testing.assert_close(equal.q(policy), torch.full((3,), 0.5, dtype=torch.float64))
    # With certain rewards one play tells all: stay after +, change after -.
    certain = Bandit(RAM(2), two_hypotheses(1.0), 0.1)
    expected = 0.1 / 2 + 0.9 * 0.1 / 2
    assert float(certain.q(ccp_policy(2, 1.0))) == pytest.approx(expected, rel=1e-12)
    assert likelihood_ratio(0.0) == 1
    assert likelihood_ratio(1.0) == 0


def test_small_resets_approach_no_reset() -> None:
    policy = ccp_policy(3, 0.2)
    q = [float(Bandit(RAM(3), two_hypotheses(0.3), r).q(policy)) for r in (1e-9, 0.0)]
    assert q[0] == pytest.approx(q[1], rel=1e-6)


def test_single_precision_lists_and_empty_batches_are_taken() -> None:
    memory = RAM(2)
    bandit = Bandit(memory, [[0.6, 0.4], [0.4, 0.6]], 0.05)
    policy = Policy.from_logits(memory.random_logits(2, seed=0))
    single = Policy(policy.actions.float(), policy.start.float())
    q = Bandit(memory, two_hypotheses(0.2), 0.05).q(policy)
    torch.testing.assert_close(bandit.q(policy), q)
    torch.testing.assert_close(bandit.q(single), q, rtol=1e-5, atol=0)
    torch.testing.assert_close(
        bandit.q_of_horizon(single, 4), bandit.q_of_horizon(policy, 4), rtol=1e-5, atol=0
    )
    none = Policy(policy.actions[:0], policy.start[:0])
    assert bandit.q(none).shape == bandit.q_of_horizon(none, 3).shape == (0,)
    forever = Bandit(memory, two_hypotheses(0.2), 0)
    assert forever.q(single).shape == (2,)
    assert forever.q(none).shape == (0,)


def test_logits_are_checked_wherever_they_are_trained() -> None:
    memory = RAM(2)
    bandit = Bandit(memory, two_hypotheses(0.1), 0.1)
    good = memory.random_logits(2, 0)
    wrong = {
        r"shapes \(2, 15, 6\) and \(2, 3\) given; allowed with RAM\(2\)": RAM(3).random_logits(
            2, 0
        ),
        r"\(B, 10, 4\) and \(B, 2\), B >= 1": Logits(good.actions[0], good.start[0]),
        r"shapes \(0, 10, 4\)": Logits(good.actions[:0], good.start[:0]),
        r"logits.actions: NaN": Logits(good.actions * torch.nan, good.start),
        r"logits.start: torch.float32 given": Logits(good.actions, good.start.float()),
    }
    for train in (
        bandit.q_and_gradient,
        lambda logits: gradient_flow(bandit, logits, evaluations=2),
        lambda logits: minimize(bandit, logits, evaluations=2),
    ):
        for message, logits in wrong.items():
            with pytest.raises(ValueError, match=message):
                train(logits)
        train(Logits(good.actions.clone().requires_grad_(), good.start))


def test_a_batch_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("symscape.bandit._bandit._MEMORY_BUDGET", 2**20)
    memory = RAM(20)
    bandit = Bandit(memory, two_hypotheses(0.1), 0.1)  # 25 kB for each policy
    policies = Policy.from_logits(memory.random_logits(100, 0))
    for call in (bandit.choices, bandit.observations, lambda p: bandit.q_of_horizon(p, 2)):
        with pytest.raises(ValueError, match="the chains of 100 policies"):
            call(policies)
    assert bandit.q(policies).shape == (100,)  # in chunks


def test_wrong_input_is_named() -> None:
    arms = two_hypotheses(0.1)
    with pytest.raises(ValueError, match=r"mu: 1.2 given; allowed: 0 <= mu <= 1"):
        two_hypotheses(1.2)
    with pytest.raises(ValueError, match=r"mu: -0\.1 given"):
        likelihood_ratio(-0.1)
    with pytest.raises(ValueError, match="at most M = 5792"):
        Bandit(RAM(10_000), arms, 0.1)
    with pytest.raises(ValueError, match="at most m = 7"):
        Bandit(Memento(8), arms, 0.1)
    with pytest.raises(ValueError, match=r"reset: 1\.5 given"):
        Bandit(RAM(2), arms, 1.5)
    for wrong in (arms * 3, arms * torch.nan, arms[:0], [0.6, 0.4]):
        with pytest.raises(ValueError, match="arms: "):
            Bandit(RAM(2), wrong, 0.1)
    bandit = Bandit(RAM(2), arms, 0.1)
    with pytest.raises(ValueError, match=r"policy: actions .* allowed with RAM\(2\)"):
        bandit.q(ccp_policy(3, 0.1))
    with pytest.raises(ValueError, match="reset: 0 given"):
        Bandit(RAM(2), arms, 0).q_and_gradient(RAM(2).random_logits(1, 0))
    with pytest.raises(ValueError, match="reset: 0 given"):
        Bandit(RAM(2), arms, 0).gain(ccp_policy(2, 0.1))
    with pytest.raises(ValueError, match="horizon: 0"):
        bandit.q_of_horizon(ccp_policy(2, 0.1), 0)
    with pytest.raises(ValueError, match="the same difference"):
        Bandit(RAM(2), torch.tensor([[0.5, 0.4], [0.2, 0.6]]), 0.1).gain(ccp_policy(2, 0.1))
    with pytest.raises(ValueError, match="GiB; allowed: 2 GiB, that is"):
        bandit.check_batch(10**9)

"""Policies, memories and their labels; initializations; graphs and tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from symscape.bandit import (
    RAM,
    Bandit,
    HellmanCover,
    Memento,
    Memory,
    Policy,
    ccp_policy,
    ccp_q,
    n_necklaces,
    necklace_policy,
    necklace_shares,
    policy_graph,
    transition_table,
    two_hypotheses,
)


@pytest.mark.parametrize("memory", [RAM(3), HellmanCover(4), Memento(1), Memento(3)], ids=repr)
def test_observations_have_distinct_labels_and_sizes_fit(memory: Memory) -> None:
    labels = [memory.observation_label(o) for o in range(memory.n_observations)]
    assert len(set(labels)) == memory.n_observations
    choices = {
        memory.next_choice(o, a) for o in range(len(labels)) for a in range(memory.n_actions)
    }
    assert choices == set(range(memory.n_choices))
    for c in range(memory.n_choices):
        assert labels[2 * c][-1] == "+"
        assert labels[2 * c + 1][-1] == "-"


def test_sizes_of_the_thesis() -> None:
    assert (RAM(8).effective_size, RAM(8).n_observations, RAM(8).n_actions) == (32, 40, 16)
    assert (Memento(3).effective_size, Memento(3).n_observations) == (64, 85)
    assert (Memento(4).effective_size, Memento(4).n_observations) == (256, 341)


def test_a_memento_shifts_its_history() -> None:
    memory = Memento(4)
    o = memory.observation("AABB", "++--")
    c = memory.next_choice(o, 0)
    assert memory.observation_label(2 * c) == "ABBA+--+"
    assert memory.history(memory.observation("AB", "-+")) == ("AB", "-+")
    longer = memory.next_choice(memory.observation("AB", "-+"), 1)
    assert memory.history(2 * longer + 1) == ("ABB", "-+-")
    assert memory.observation("", "") == memory.n_observations - 1
    assert [memory.oldest_arm[memory.observation(w, "++++")] for w in ("ABBB", "BAAA")] == [0, 1]


def test_logits_and_policies_are_inverse_but_for_the_floor() -> None:
    policy = Policy.from_logits(RAM(3).random_logits(2, seed=0))
    torch.testing.assert_close(Policy.from_logits(policy.logits(floor=0)).actions, policy.actions)
    floored = Policy.from_logits(ccp_policy(3, 0.1).logits()).actions
    # 6 actions: (p + 1e-4) / (1 + 6e-4)
    assert float(floored.min()) == pytest.approx(1e-4 / 1.0006, rel=1e-9)


def test_same_seed_same_start() -> None:
    for draw in (RAM(4).random_logits, RAM(4).column_logits, Memento(2).cycle_logits):
        assert torch.equal(draw(3, 7).actions, draw(3, 7).actions)
        assert not torch.equal(draw(3, 7).actions, draw(3, 8).actions)


def test_linear_and_column_starts_forbid_what_they_should() -> None:
    memory = RAM(5)
    here = memory.memory_of[:, None]
    there = torch.arange(10) // 2
    linear = Policy.from_logits(memory.linear_logits(2, seed=1)).actions
    columns = Policy.from_logits(memory.column_logits(2, seed=1)).actions
    far = (there - here).abs() > 1
    assert float(linear[:, far].max()) < 2e-4
    assert float(linear[:, ~far].min()) > 1e-3
    arm = torch.arange(20) // 2 % 2
    changes = (torch.arange(10) % 2 != arm[:, None]) & (here[:20] > 0)
    assert float(columns[:, :20][:, changes].max()) < 2e-4
    free = ~far[:20] & ~changes
    assert float(columns[:, :20][:, free].min()) > 1e-3
    assert float(columns[:, 20:][:, ~far[20:]].min()) > 1e-3  # the start may choose its arm


def test_cycles_play_the_oldest_arm_unless_all_events_agree() -> None:
    memory = Memento(3)
    actions = Policy.from_logits(memory.cycle_logits(4, seed=2)).actions
    for arms, rewards, agree in (("ABA", "+-+", True), ("ABA", "-+-", True), ("ABA", "+++", False)):
        row = actions[:, memory.observation(arms, rewards)]
        oldest = "AB".index(arms[0])
        assert bool((row[:, oldest] > 0.999).all()) is not agree


def test_graph_of_the_column() -> None:
    bandit = Bandit(RAM(8), two_hypotheses(0.1), 1e-3)
    graph = policy_graph(bandit, ccp_policy(8, 0.05))
    assert len(graph.labels) == 16
    arrows = {
        (graph.labels[e.source], graph.labels[e.target], e.reward): e.probability
        for e in graph.edges
    }
    assert arrows[("3A", "4A", "+")] == 1
    assert arrows[("3A", "2A", "-")] == 1
    assert arrows[("1A", "1B", "-")] == 1
    assert arrows[("8B", "7B", "-")] == pytest.approx(0.05)
    assert len(arrows) == 4 * 8 + 2
    assert sum(graph.weights) == pytest.approx(0.999)
    dot = graph.dot()
    assert dot.startswith("digraph")
    assert dot.count("->") == len(graph.edges)


def test_table_shows_what_is_seen_most_first() -> None:
    bandit = Bandit(RAM(3), two_hypotheses(0.2), 1e-2)
    lines = transition_table(bandit, ccp_policy(3, 0.1)).splitlines()
    assert lines[1].split()[0] in ("3A+", "3B+")
    assert any(line.split()[0] == "3A-" and "2A 0.1, 3A 0.9" in line for line in lines)
    assert len(lines) == 1 + 12 + 1  # all events, and the start that is used


def test_policies_that_are_nowhere_often_have_a_graph_and_a_table() -> None:
    memory = Memento(5)
    uniform = torch.full((memory.n_observations, 2), 0.5, dtype=torch.float64)
    policy = Policy(uniform, torch.ones(1, dtype=torch.float64))
    bandit = Bandit(memory, two_hypotheses(0.1), 1e-3)
    graph = policy_graph(bandit, policy)
    assert max(graph.weights) < 1e-3 * 4
    assert len(graph.labels) >= 4**5 // 2  # all full memories
    assert graph.dot().startswith("digraph")
    assert len(transition_table(bandit, policy).splitlines()) > 4**5


def test_integers_of_numpy_are_integers_and_floats_are_none() -> None:
    two, m = np.int64(2), np.int32(3)
    assert (
        repr((RAM(two), HellmanCover(two), Memento(m))) == "(RAM(2), HellmanCover(2), Memento(3))"
    )
    starts = RAM(two).random_logits(two, np.int64(7))
    assert torch.equal(starts.actions, RAM(2).random_logits(2, 7).actions)
    assert ccp_q(two, 0.1, 0.2, 1e-3) == ccp_q(2, 0.1, 0.2, 1e-3)
    assert n_necklaces(m) == 4
    for wrong in (2.0, True, "2"):
        with pytest.raises(ValueError, match=r"given; allowed: an (even )?integer"):
            RAM(wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="given; allowed: an even integer"):
            HellmanCover(wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="given; allowed: an integer"):
            Memento(wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"seed: .* given; allowed: an integer"):
            RAM(2).random_logits(1, wrong)  # type: ignore[arg-type]


def test_wrong_input_is_named() -> None:
    ones = torch.ones(3, dtype=torch.float64)
    rows = torch.eye(3, dtype=torch.float64)
    with pytest.raises(ValueError, match="actions: not a distribution, row 1 sums to 2"):
        Policy(torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.ones(1))
    with pytest.raises(ValueError, match="start: not a distribution"):
        Policy(rows, ones)
    with pytest.raises(ValueError, match="entries between -1"):
        Policy(torch.tensor([[2.0, -1.0]]), torch.ones(1))
    with pytest.raises(ValueError, match="actions, start: shapes"):
        Policy(rows[None], ones / 3)
    with pytest.raises(ValueError, match="floating-point"):
        Policy(torch.eye(2, dtype=torch.long), torch.ones(1))
    with pytest.raises(ValueError, match="floor: -1"):
        ccp_policy(2, 0.1).logits(-1)
    with pytest.raises(ValueError, match="M: 0 given"):
        RAM(0)
    with pytest.raises(ValueError, match="m: 9 given"):
        Memento(9)
    with pytest.raises(ValueError, match="starts: 0"):
        RAM(2).random_logits(0, 0)
    with pytest.raises(ValueError, match="order: "):
        RAM(2).relabel(ccp_policy(2, 0.1), torch.tensor([0, 0]))
    with pytest.raises(ValueError, match="arms, rewards"):
        Memento(2).observation("ABA", "+++")
    bandit = Bandit(RAM(2), two_hypotheses(0.1), 0.1)
    with pytest.raises(ValueError, match="threshold: 1"):
        policy_graph(bandit, ccp_policy(2, 0.1), 1)
    batch = Policy.from_logits(RAM(2).random_logits(2, 0))
    with pytest.raises(ValueError, match="policy: a batch"):
        transition_table(bandit, batch)
    with pytest.raises(ValueError, match="policy: a batch"):
        Bandit(RAM(2), two_hypotheses(0.1), 0).choices(batch)


def test_only_mixed_words_tell_a_necklace_policy_from_another() -> None:
    memory = Memento(3)
    bandit = Bandit(memory, two_hypotheses(0.1), 1e-3)
    # Repeats the newest arm, and leaves it now and then where nothing was won.
    actions = torch.full((memory.n_observations, 2), 0.5, dtype=torch.float64)
    for o in range(memory.n_observations - 1):
        arms, rewards = memory.history(o)
        newest = "AB".index(arms[-1])
        actions[o, newest] = 0.95 if rewards == "---" else 1.0
        actions[o, 1 - newest] = 1 - actions[o, newest]
    start = torch.ones(1, 1, dtype=torch.float64)
    newest_arm = necklace_shares(bandit, Policy(actions[None], start))
    necklace = necklace_shares(bandit, necklace_policy(3, 0.01, 0.05))
    assert newest_arm.oldest[0] > 0.95
    assert newest_arm.oldest_mixed[0] < 0.75
    assert newest_arm.informed_exits[0] < 0.5
    assert necklace.oldest_mixed > 0.95
    assert necklace.informed_exits == pytest.approx(1.0)
    assert necklace.chain.shape == (4,)
    assert float(necklace.chain.sum()) == pytest.approx(1.0)
    assert float(1 - necklace.chain[0] - necklace.chain[-1]) == pytest.approx(float(necklace.mixed))
    with pytest.raises(TypeError, match="its memory is RAM"):
        necklace_shares(Bandit(RAM(2), two_hypotheses(0.1), 0.1), ccp_policy(2, 0.1))

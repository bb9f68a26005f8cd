"""Policies as graphs and as tables."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from symscape.bandit._bandit import Bandit
from symscape.bandit._policy import Policy

__all__ = ["Edge", "PolicyGraph", "policy_graph", "transition_table"]


@dataclass(frozen=True)
class Edge:
    """One arrow: after ``reward`` ("+" or "-") in choice ``source`` the agent goes to ``target``.

    ``probability`` is that of the action, given the reward.
    """

    source: int
    target: int
    reward: str
    probability: float


@dataclass(frozen=True)
class PolicyGraph:
    """The choices that a policy visits, and the arrows between them.

    Attributes:
        labels: of the nodes, as the thesis writes them: ``3B``.
        arms: arm of each node, 0 for A and 1 for B.
        weights: probability of each node in the steady state, averaged over the hypotheses.
        edges: arrows between nodes, by their position in ``labels``.
    """

    labels: tuple[str, ...]
    arms: tuple[int, ...]
    weights: tuple[float, ...]
    edges: tuple[Edge, ...]

    def dot(self) -> str:
        """The graph in the language of Graphviz: ``dot -Tsvg`` draws it.

        Arrows after + are solid, after - dashed; their width is the probability. Nodes of arm A are
        round, of arm B square; darker ones are visited more.
        """
        lines = ["digraph policy {", "  node [style=filled, fontname=Helvetica];"]
        top = max(self.weights)
        for i, (label, arm, weight) in enumerate(zip(self.labels, self.arms, self.weights)):
            shape = ("ellipse", "box")[arm]
            lines.append(
                f'  n{i} [label="{label}\\n{weight:.2g}", shape={shape}, '
                f'fillcolor="0.5 {0.6 * weight / top:.3f} 1"];'
            )
        for edge in self.edges:
            style = "solid" if edge.reward == "+" else "dashed"
            lines.append(
                f"  n{edge.source} -> n{edge.target} "
                f"[style={style}, penwidth={0.3 + 2 * edge.probability:.2f}, "
                f'label="{edge.probability:.2g}"];'
            )
        return "\n".join([*lines, "}"])


def policy_graph(bandit: Bandit, policy: Policy, threshold: float = 1e-3) -> PolicyGraph:
    """The graph of one policy, as in the thesis's drawing of the column of confidence.

    Args:
        bandit: the problem, for the probabilities of the nodes.
        policy: one policy.
        threshold: nodes visited less than this share of the most visited one, and arrows of
            actions with a smaller probability, are left out; in [0, 1).

    Raises:
        ValueError: a batch of policies, another memory's policy, or ``threshold`` out of range.

    Source: Ch. 7, Fig. 1C.
    """
    _check(policy, threshold)
    memory = bandit.memory
    weights = bandit.choices(policy).mean(0)
    least = threshold * float(weights.max())
    kept = [c for c in range(memory.n_choices) if weights[c] > least]
    place = {c: i for i, c in enumerate(kept)}
    edges = []
    for c in kept:
        for y, sign in enumerate("+-"):
            row = policy.actions[2 * c + y]
            for a in (row > threshold).nonzero().flatten().tolist():
                target = memory.next_choice(2 * c + y, a)
                if target in place:
                    edges.append(Edge(place[c], place[target], sign, float(row[a])))
    return PolicyGraph(
        tuple(memory.choice_label(c) for c in kept),
        tuple(int(memory.arms[c]) for c in kept),
        tuple(float(weights[c]) for c in kept),
        tuple(edges),
    )


def transition_table(bandit: Bandit, policy: Policy, threshold: float = 1e-3) -> str:
    """What a policy does, as text: one line per observation, those seen most first.

    Args:
        bandit: the problem, for how often an observation is seen.
        policy: one policy.
        threshold: observations seen less than this share of the one seen most, and actions with
            a smaller probability, are left out; in [0, 1).

    Returns:
        Lines such as ``3B-  0.02  -> 2B 1``: observation, its probability, and the choices that
        follow with theirs.

    Raises:
        ValueError: as :func:`policy_graph`.

    Source: Ch. 7, Fig. 1 (B, C).
    """
    _check(policy, threshold)
    memory = bandit.memory
    seen = bandit.observations(policy)
    least = threshold * float(seen.max())
    lines = ["observation  seen    next choice"]
    for o in torch.argsort(seen, descending=True, stable=True).tolist():
        if seen[o] <= least:
            break
        row = policy.actions[o]
        following = [
            f"{memory.choice_label(memory.next_choice(o, a))} {float(row[a]):.3g}"
            for a in (row > threshold).nonzero().flatten().tolist()
        ]
        label = memory.observation_label(o)
        lines.append(f"{label:<12} {float(seen[o]):<7.3g} {', '.join(following)}")
    return "\n".join(lines)


def _check(policy: Policy, threshold: float) -> None:
    if policy.start.ndim != 1:
        raise ValueError(f"policy: a batch {tuple(policy.start.shape[:-1])} given; allowed: one")
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold: {threshold!r} given; allowed: 0 <= threshold < 1")

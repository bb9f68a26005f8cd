"""Finite-memory agents in the two-hypothesis bandit (chapter 7).

The exact performance of stochastic policies and its gradient, closed forms, optimization from many
starts, and what the landscape of local optima looks like.
"""

from symscape.bandit._all_plays import bayes_q, ucb_worse_plays
from symscape.bandit._bandit import Bandit, likelihood_ratio, two_hypotheses
from symscape.bandit._chain import (
    chain_crossing,
    chain_end_probability,
    hellman_cover_policy,
    hellman_cover_q,
)
from symscape.bandit._column import (
    ccp_best_epsilon,
    ccp_epsilon_prefactor,
    ccp_odds,
    ccp_policy,
    ccp_profile,
    ccp_q,
)
from symscape.bandit._flow import Flow, gradient_flow
from symscape.bandit._graph import Edge, PolicyGraph, policy_graph, transition_table
from symscape.bandit._memory import RAM, HellmanCover, Memento, Memory
from symscape.bandit._minimize import Optimum, anneal, minimize
from symscape.bandit._necklace import (
    NecklaceShares,
    gray_necklaces,
    n_necklaces,
    necklace_odds,
    necklace_of,
    necklace_policy,
    necklace_q,
    necklace_shares,
)
from symscape.bandit._optima import LocalOptima, local_optima
from symscape.bandit._oracle import DeterministicOptimum, best_deterministic_policy
from symscape.bandit._policy import Logits, Policy
from symscape.bandit._pomdp import POMDP
from symscape.bandit._steady import mean_reward, steady_state, steady_state_without_reset

__all__ = [
    "POMDP",
    "RAM",
    "Bandit",
    "DeterministicOptimum",
    "Edge",
    "Flow",
    "HellmanCover",
    "LocalOptima",
    "Logits",
    "Memento",
    "Memory",
    "NecklaceShares",
    "Optimum",
    "Policy",
    "PolicyGraph",
    "anneal",
    "bayes_q",
    "best_deterministic_policy",
    "ccp_best_epsilon",
    "ccp_epsilon_prefactor",
    "ccp_odds",
    "ccp_policy",
    "ccp_profile",
    "ccp_q",
    "chain_crossing",
    "chain_end_probability",
    "gradient_flow",
    "gray_necklaces",
    "hellman_cover_policy",
    "hellman_cover_q",
    "likelihood_ratio",
    "local_optima",
    "mean_reward",
    "minimize",
    "n_necklaces",
    "necklace_odds",
    "necklace_of",
    "necklace_policy",
    "necklace_q",
    "necklace_shares",
    "policy_graph",
    "steady_state",
    "steady_state_without_reset",
    "transition_table",
    "two_hypotheses",
    "ucb_worse_plays",
]

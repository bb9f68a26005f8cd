"""Memory in the two-hypothesis bandit (chapter 7).

The paper *How memory architecture affects learning in a simple POMDP: the two-hypothesis testing
problem*: the column of confidence, the necklaces, and what training finds from where it starts.
"""

from symscape.experiments.bandit._dynamics import Dynamics
from symscape.experiments.bandit._exploration import Exploration
from symscape.experiments.bandit._memento import MementoPolicies
from symscape.experiments.bandit._necklaces import Necklaces
from symscape.experiments.bandit._optima import Optima

__all__ = ["Dynamics", "Exploration", "MementoPolicies", "Necklaces", "Optima"]

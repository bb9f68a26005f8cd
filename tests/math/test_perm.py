"""Permutations: group axioms, numbering, representations."""

import itertools
import math
import random

import pytest
import torch

from symscape.math import perm

_S4 = sorted(perm.group(4))


def test_numbers_run_through_the_group() -> None:
    for n in range(6):
        numbered = [perm.from_int(i, n) for i in range(math.factorial(n))]
        assert set(numbered) == set(itertools.permutations(range(n))) == perm.group(n)
        assert [perm.to_int(p) for p in numbered] == list(range(math.factorial(n)))


def test_group_axioms() -> None:
    e = perm.identity(4)
    for p in _S4:
        assert perm.compose(p, perm.inverse(p)) == perm.compose(perm.inverse(p), p) == e
        assert perm.compose(p, e) == perm.compose(e, p) == p
    for p, q, r in itertools.product(_S4[::5], _S4[::3], _S4[::4]):
        assert perm.compose(p, perm.compose(q, r)) == perm.compose(perm.compose(p, q), r)


def test_composition_applies_the_second_first() -> None:
    letters = "abcd"
    for p, q in itertools.product(_S4[::3], _S4[::2]):
        moved = [letters[perm.compose(p, q)[i]] for i in range(4)]
        assert moved == [letters[p[q[i]]] for i in range(4)]


def test_sign_is_the_determinant() -> None:
    for p in _S4:
        matrix = perm.natural_representation(p, dtype=torch.float64)
        assert perm.sign(p) == round(float(torch.linalg.det(matrix)))


@pytest.mark.parametrize("represent", [perm.natural_representation, perm.standard_representation])
def test_representations_are_orthogonal_homomorphisms(represent) -> None:
    for p, q in itertools.product(_S4[::3], _S4[::2]):
        P, Q = represent(p, torch.float64), represent(q, torch.float64)
        product = represent(perm.compose(p, q), torch.float64)
        torch.testing.assert_close(P @ Q, product, rtol=0, atol=1e-12)
        identity = torch.eye(len(P), dtype=torch.float64)
        torch.testing.assert_close(P @ P.T, identity, rtol=0, atol=1e-12)


def test_standard_representation_is_irreducible() -> None:
    """The mean of the squared character is 1."""
    for n in (2, 3, 4):
        traces = [float(perm.standard_representation(p).trace()) for p in perm.group(n)]
        assert sum(t * t for t in traces) / len(traces) == pytest.approx(1.0, abs=1e-5)


def test_cycles_rebuild_the_permutation() -> None:
    for p in _S4:
        rebuilt = list(range(4))
        for cycle in perm.to_cycles(p):
            assert len(cycle) > 1
            assert cycle[0] == min(cycle)
            for a, b in zip(cycle, (*cycle[1:], cycle[0])):
                rebuilt[a] = b
        assert tuple(rebuilt) == p


def test_germinated_sets_are_the_generated_groups() -> None:
    assert perm.germinate({(1, 0, 2, 3), (1, 2, 3, 0)}) == perm.group(4)
    assert len(perm.germinate({(1, 2, 3, 0)})) == 4
    for size in (0, 1, 2):
        for subset in itertools.combinations(_S4[::4], size):
            germinated = perm.germinate(set(subset))
            assert set(subset) <= germinated
            assert perm.is_group(germinated) == bool(subset)


def test_what_is_a_group() -> None:
    assert perm.is_group({(0, 1, 2)})
    assert not perm.is_group({(1, 2, 0), (0, 1, 2)})
    assert not perm.is_group({(0, 1), (0, 1, 2)})
    assert not perm.is_group({(0, 0)})


def test_random_permutations_follow_the_generator() -> None:
    drawn = [perm.rand(3, random.Random(seed)) for seed in range(200)]
    assert set(drawn) == perm.group(3)
    assert drawn == [perm.rand(3, random.Random(seed)) for seed in range(200)]
    random.seed(4)
    first = perm.rand(6)
    random.seed(4)
    assert perm.rand(6) == first


@pytest.mark.parametrize(
    "call",
    [
        lambda: perm.inverse((0, 0)),
        lambda: perm.compose((0, 1), (0, 1, 2)),
        lambda: perm.sign((1, 2)),
        lambda: perm.to_int((3, 1)),
        lambda: perm.from_int(6, 3),
        lambda: perm.from_int(-1, 3),
        lambda: perm.natural_representation((0, 2)),
        lambda: perm.to_cycles((1, 1)),
    ],
)
def test_wrong_arguments_are_refused(call) -> None:
    with pytest.raises(ValueError, match=r"must (hold|permute|be within)"):
        call()

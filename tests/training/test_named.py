"""Networks by name."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from torch import nn

from symscape import training

NETS = """
import torch
from torch import nn
def plain():
    return nn.Linear(3, 2)
def full(shape, classes, seed, depth=1):
    model = nn.Linear(shape[0], classes)
    nn.init.constant_(model.weight, seed)
    return model
def some(*, classes):
    return nn.Linear(3, classes)
class Net(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.layer = nn.Linear(*shape, 1)
def needs(depth):
    return plain()
def positional(a, /):
    return plain()
def number():
    return 3
def boom():
    raise KeyError("x")
one = plain()
pi = 3.14
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    (tmp_path / "named_nets.py").write_text(NETS)
    (tmp_path / "named_broken.py").write_text("def f(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "named_nets.py"
    sys.modules.pop("named_nets", None)


def model(name, seed=0):
    return training.named_model(f"named_nets:{name}", seed=seed, shape=(5,), classes=4)


def test_a_function_is_given_what_it_asks_for(nets):
    assert model("full", 7).weight.shape == (4, 5)
    assert bool((model("full", 7).weight == 7).all())
    assert model("some").weight.shape == (4, 3)
    assert model("Net").layer.weight.shape == (1, 5)


def test_one_without_arguments_is_seeded_all_the_same(nets):
    state = torch.get_rng_state()
    first, same, other = (model("plain", seed).weight for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


def test_a_module_is_copied(nets):
    one, two = model("one"), model("one")
    assert one is not two
    assert torch.equal(one.weight, two.weight)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("named_nets", "'named_nets' given; allowed: module:function"),
        (":plain", "module:function"),
        ("named_nets:", "module:function"),
        (".named_nets:plain", "module:function"),
        ("named_nets:nothing", "cannot be imported: AttributeError"),
        ("no_such_module:f", "cannot be imported: ModuleNotFoundError"),
        ("named_broken:f", "cannot be imported: SyntaxError"),
        ("named_nets:pi", "is a float; allowed: a function"),
        ("named_nets:number", "gives a int; allowed: a torch.nn.Module"),
        ("named_nets:boom", "cannot be called: KeyError: 'x'"),
        ("named_nets:needs", "needs the argument 'depth'; allowed: classes, seed, and others"),
        ("named_nets:positional", "needs the argument 'a'"),
    ],
)
def test_what_is_no_network_is_told_why(nets, name, words):
    with pytest.raises(ValueError, match=words) as caught:
        training.named_model(name, seed=0, classes=2)
    assert "\n" not in str(caught.value)


def test_any_object_by_name():
    assert training.named_object("math:sqrt") is math.sqrt


def test_a_fingerprint_changes_with_the_layers_and_with_the_file(nets):
    name = "named_nets:plain"
    first = training.model_fingerprint(name, model("plain"))
    assert first == training.model_fingerprint(name, model("plain", 3))
    assert first != training.model_fingerprint(name, nn.Linear(3, 3))
    nets.write_text(NETS + "# edited\n")
    assert first != training.model_fingerprint(name, model("plain"))

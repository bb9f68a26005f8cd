"""The name space of e3nn: every path resolves to symscape, and can be given back."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from symscape.compat import e3nn as compat
from symscape.compat.e3nn._modules import SOURCES


def run(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run in a fresh process, in which nothing has imported e3nn yet."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, **options
    )


def test_paths_that_clients_import_resolve_to_symscape() -> None:
    code = """
    from symscape.compat import e3nn as compat
    compat.install()
    compat.install()
    import e3nn
    from e3nn import o3, nn, io, math, util
    from e3nn.io import CartesianTensor
    from e3nn.io._cartesian_tensor import CartesianTensor as Same
    from e3nn.math import normalize2mom, soft_one_hot_linspace
    from e3nn.nn._fc import FullyConnectedNet, _Layer
    from e3nn.nn._gate import Gate
    from e3nn.nn._normact import NormActivation
    from e3nn.o3._irreps import Irrep, Irreps
    from e3nn.o3._linear import Linear
    from e3nn.o3._tensor_product._sub import FullyConnectedTensorProduct
    from e3nn.o3._tensor_product._tensor_product import TensorProduct
    from e3nn.o3.irrep import l1o, l2y
    from e3nn.util.codegen import CodeGenMixin
    from e3nn.util.jit import compile, compile_mode, script
    from e3nn.util.test import assert_equivariant, equivariance_error, random_irreps
    import symscape
    assert o3.Irreps is Irreps is symscape.o3.Irreps and nn.Gate is Gate is symscape.nn.Gate
    assert CartesianTensor is Same and str(l1o) == "1o" and str(l2y) == "2e"
    assert e3nn.__version__ == "0.6.0" and not hasattr(o3, "nonsense")
    assert e3nn.o3._linear.Linear is Linear
    assert_equivariant(Linear("2x0e+1x1o", "1x0e+3x1o"))
    e3nn.set_optimization_defaults(jit_script_fx=False)
    assert e3nn.get_optimization_defaults()["jit_script_fx"] is False
    compat.uninstall()
    import sys
    assert not any(name.split(".")[0] == "e3nn" for name in sys.modules)
    """
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_imported_e3nn_is_refused(tmp_path: Path) -> None:
    (tmp_path / "e3nn.py").write_text("")
    done = run("import e3nn; import symscape.compat.e3nn as c; c.install()", cwd=tmp_path)
    assert "RuntimeError: e3nn is already imported" in done.stderr


def test_signs_of_e3nn_04() -> None:
    code = """
    import torch
    from symscape.compat import e3nn as compat
    compat.install("0.4")
    from e3nn import o3
    old = o3.wigner_3j(1, 2, 2)
    compat.uninstall()
    from symscape.o3 import wigner_3j
    assert torch.equal(old, -wigner_3j(1, 2, 2)) and not compat.installed()
    compat.install()
    try:
        compat.install("0.4")
    except ValueError as error:
        assert "signs" in str(error)
    else:
        raise AssertionError
    """
    done = run(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("source", sorted({name for names in SOURCES.values() for name in names}))
def test_sources_exist(source: str) -> None:
    importlib.import_module(source)


def test_options() -> None:
    before = compat.get_optimization_defaults()
    with pytest.raises(ValueError, match="Unknown optimization option: fast"):
        compat.set_optimization_defaults(fast=True)
    with pytest.raises(ValueError, match="jit_mode"):
        compat.set_optimization_defaults(jit_mode="trace")
    assert compat.get_optimization_defaults() == before


def test_jit() -> None:
    import torch

    from symscape.compat.e3nn import _jit as jit
    from symscape.nn import Gate

    @jit.compile_mode("script")
    class Module(torch.nn.Module):
        pass

    assert jit.get_compile_mode(Module()) == "script"
    assert jit.get_compile_mode(torch.nn.ReLU()) is None
    with pytest.raises(ValueError, match="mode"):
        jit.compile_mode("fast")
    gate = Gate("2x0e", [torch.tanh], "1x0e", [torch.sigmoid], "1x1o")
    with pytest.warns(UserWarning, match="does not compile to TorchScript"):
        assert jit.script(gate) is gate
    with pytest.warns(UserWarning, match="does not compile to TorchScript"):
        assert jit.compile(gate, in_place=False) is not gate
    traced = jit.trace(gate)
    (inputs,) = jit.get_tracing_inputs(gate)
    assert torch.equal(traced(*inputs["forward"]), gate(*inputs["forward"]))


def test_graphs_of_clients_survive_pickling() -> None:
    import copy

    import torch

    from symscape.compat.e3nn._codegen import CodeGenMixin

    class Module(CodeGenMixin, torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self._codegen_register({"graph": torch.fx.symbolic_trace(torch.nn.Linear(2, 3))})

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.graph(x)

    module = Module()
    x = torch.ones(1, 2)
    assert torch.equal(copy.deepcopy(module)(x), module(x))
    assert list(module.state_dict()) == ["graph.weight", "graph.bias"]

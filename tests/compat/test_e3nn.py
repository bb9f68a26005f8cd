"""The name space of e3nn: every path resolves to symscape, and can be given back."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from symscape.compat import e3nn as compat
from symscape.compat.e3nn._modules import ALIASES, FALLBACKS, SOURCES


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


def test_models_and_private_names_resolve() -> None:
    code = """
    from symscape.compat import e3nn as compat
    compat.install()
    import torch
    from e3nn.nn.models.gate_points_2101 import Network, smooth_cutoff
    from e3nn.nn.models.gate_points_2102 import Convolution, radius_graph, scatter
    from e3nn.nn.models.v2103.gate_points_networks import SimpleNetwork as Older
    from e3nn.nn.models.v2103.gate_points_message_passing import MessagePassing
    from e3nn.nn.models.v2103 import points_convolution, voxel_convolution, conv_points_in_out
    from e3nn.nn.models.v2104.voxel_convolution import LowPassFilter
    from e3nn.nn.models.v2106.gate_points_networks import SimpleNetwork
    from e3nn.nn.models.v2106.gate_points_message_passing import tp_path_exists
    from e3nn.nn.models.v2203.sparse_voxel_convolution import Convolution as Sparse
    from e3nn import o3
    from e3nn.nn._gate import _Sortcut
    from e3nn.o3._irreps import _MulIr
    from e3nn.o3._linear import Instruction
    from e3nn.o3._spherical_harmonics import _spherical_harmonics
    from e3nn.o3._wigner import _so3_clebsch_gordan
    from e3nn.o3.experimental import FullTensorProductv2, ElementwiseTensorProductv2
    from e3nn.o3.experimental._full_tp import FullTensorProduct
    from e3nn.o3.experimental._elementwise_tp import ElementwiseTensorProduct
    from e3nn.util._argtools import _get_device, _get_floating_dtype, _to_device_dtype, _transform
    import symscape.nn.models.v2106.gate_points_networks as ours
    assert SimpleNetwork is ours.SimpleNetwork and SimpleNetwork is not Older
    assert isinstance(o3.Irreps("2x1o")[0], _MulIr)
    assert isinstance(o3.Linear("2x0e", "0e").instructions[0], Instruction)
    assert FullTensorProduct is FullTensorProductv2 is o3.FullTensorProductv2
    assert ElementwiseTensorProduct is ElementwiseTensorProductv2
    assert o3.experimental.FullTensorProductv2 is FullTensorProductv2
    linear = o3.Linear("0e", "0e").double()
    assert _get_floating_dtype(linear) is torch.float64 and _get_device(linear).type == "cpu"
    """
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_names_resolve_where_e3nn_imports_them() -> None:
    code = """
    from symscape.compat import e3nn as compat
    compat.install()
    import symscape
    from e3nn import nn, o3
    from e3nn.io._spherical_tensor import FromS2Grid
    from e3nn.math._normalize_activation import compile_mode, explicit_default_types
    from e3nn.nn._activation import Irreps, compile_mode, normalize2mom
    from e3nn.nn._fc import compile_mode as same
    from e3nn.nn._so3act import SO3Grid
    from e3nn.nn.models.gate_points_2101 import FullyConnectedNet, Gate, TensorProduct
    from e3nn.nn.models.gate_points_2102 import FullyConnectedTensorProduct, compile_mode
    from e3nn.nn.models.v2104.voxel_convolution import Linear, soft_one_hot_linspace
    from e3nn.nn.models.v2106.points_convolution import FullyConnectedNet as Again, compile_mode
    from e3nn.o3._linear import CodeGenMixin
    from e3nn.o3._reduce import germinate_formulas, orthonormalize
    from e3nn.util import jit
    from e3nn.util._argtools import Irreps as Third
    from e3nn.util.test import compile, get_compile_mode, get_optimization_defaults, logger
    from e3nn.util.test import set_optimization_defaults
    assert Gate is nn.Gate and FullyConnectedNet is Again is nn.FullyConnectedNet
    assert Linear is o3.Linear and Irreps is Third is o3.Irreps
    assert compile_mode is same is jit.compile_mode and compile is jit.compile
    assert logger.name == "e3nn.util.test"
    for package in (nn, o3, nn._gate):  # of a package only its own names, and no others at all
        assert not hasattr(package, "compile_mode" if package is not nn._gate else "nonsense")
    names = {}
    exec("from e3nn.nn._gate import *", names)
    assert "Gate" in names and "compile_mode" not in names
    """
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_private_functions() -> None:
    import torch

    from symscape.compat.e3nn import _argtools, _private
    from symscape.o3 import Irreps, Linear, rand_matrix, spherical_harmonics, wigner_3j

    cut = _private._Sortcut("2x0e+1o", "1x0e+0o", "2x1o")
    assert str(cut.irreps_in) == "1x0o+3x0e+3x1o"
    parts = cut(torch.arange(13.0))
    assert [part.tolist() for part in parts] == [
        [1, 2, 4, 5, 6],
        [3, 0],
        [7, 8, 9, 10, 11, 12],
    ]
    xyz = torch.randn(3, 5)
    expected = spherical_harmonics([0, 1, 2], xyz.T, False, "component")
    assert torch.equal(_private._spherical_harmonics(2, *xyz), expected)
    symbols = _private._so3_clebsch_gordan(1, 2, 2)
    assert torch.equal(symbols, wigner_3j(1, 2, 2, dtype=torch.float64))

    linear = Linear("2x0e+1o", "1o")
    args, kinds_in, kinds_out = _argtools._get_args_in(linear)
    assert [str(kind) for kind in kinds_in + kinds_out] == ["2x0e+1x1o", "1x1o"]
    assert args[0].shape[1] == 5
    with pytest.raises(ValueError, match="args_in: 2 given"):
        _argtools._get_args_in(linear, [1, 2])
    R = rand_matrix(dtype=torch.float64)
    points, vectors, same = _argtools._transform(
        [torch.ones(2, 3), torch.ones(2, 3), torch.ones(1)],
        ["cartesian_points", Irreps("1o"), None],
        R,
        2.0,
    )
    torch.testing.assert_close(points, vectors + 2.0)
    torch.testing.assert_close(vectors[0], R.sum(1).float())
    assert torch.equal(same, torch.ones(1))
    moved = _argtools._to_device_dtype(
        {"a": (torch.ones(1), [torch.ones(1, dtype=torch.long)])}, dtype=torch.float64
    )
    assert moved["a"][0].dtype is torch.float64
    assert moved["a"][1][0].dtype is torch.long
    with pytest.raises(TypeError, match="args: str"):
        _argtools._to_device_dtype("a")


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


@pytest.mark.parametrize(("source", "name"), sorted(ALIASES.values()))
def test_aliases_exist(source: str, name: str) -> None:
    assert hasattr(importlib.import_module(source), name)


@pytest.mark.parametrize(
    "source",
    sorted({name for names in (*SOURCES.values(), *FALLBACKS.values()) for name in names}),
)
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

"""MACE and NequIP run on symscape as on e3nn: same energies and forces, same training.

The clients live in an environment of their own, named by SYMSCAPE_CLIENTS, a python that has
mace-torch or nequip, their dependencies except e3nn, and symscape. The reference runs there too, on
the e3nn that is installed beside these tests. docs/library/from-e3nn.md says how to make it.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest
import torch

CLIENTS = Path(__file__).parent / "clients"


def interpreter(package: str) -> str:
    python = os.environ.get("SYMSCAPE_CLIENTS")
    if not python:
        pytest.skip("SYMSCAPE_CLIENTS does not name a python with MACE and NequIP")
    probe = f"import importlib.util as u; raise SystemExit(u.find_spec({package!r}) is None)"
    if subprocess.run([python, "-c", probe]).returncode:
        pytest.skip(f"{package} is not installed in the environment of SYMSCAPE_CLIENTS")
    return python


def path_to_e3nn(folder: Path) -> str:
    """A folder with e3nn and nothing else, for PYTHONPATH."""
    for package in ("e3nn", "opt_einsum_fx"):
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            pytest.skip(f"the peer {package} is not installed")
        (folder / package).symlink_to(Path(spec.origin).parent)
    return str(folder)


@pytest.mark.slow
@pytest.mark.parametrize("client", ["mace", "nequip"])
def test_same_energies_forces_and_training(client: str, tmp_path: Path, record_property) -> None:
    python = interpreter(client)
    peer = tmp_path / "peer"
    peer.mkdir()
    state = tmp_path / "state.pt"
    results = {}
    for library, path in (("e3nn", path_to_e3nn(peer)), ("symscape", "")):
        result = tmp_path / f"{library}.pt"
        script = CLIENTS / f"{client}_step.py"
        run = subprocess.run(
            [python, str(script), library, str(state), str(result)],
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr
        results[library] = torch.load(result, weights_only=True)
    ours, theirs = results["symscape"], results["e3nn"]
    for name in ("energy", "forces", "losses"):
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-11, atol=1e-11)
    assert theirs["losses"][-1] < theirs["losses"][0]
    build, step = (theirs["seconds"] / ours["seconds"]).tolist()
    record_property("speed-up of a training step", step)
    print(f"{client}: construction {build:.1f} times, training step {step:.1f} times as fast")

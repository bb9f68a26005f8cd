"""NequIP on e3nn or on symscape: energies, forces, and the loss of ten training steps.

Run as ``nequip_step.py e3nn|symscape STATE RESULT``: on e3nn the state dict is written, on symscape
it is read.
"""

import sys
import time

import torch

library, state_file, result_file = sys.argv[1:]
if library == "symscape":
    from symscape.compat import e3nn as compat

    compat.install()

import ase.build  # noqa: E402
import numpy as np  # noqa: E402
from nequip.data import AtomicDataDict, compute_neighborlist_, from_ase  # noqa: E402
from nequip.model import NequIPGNNModel  # noqa: E402
from nequip.utils.global_state import set_global_state  # noqa: E402

set_global_state()
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
types = ["H", "C", "O"]
started = time.perf_counter()
model = NequIPGNNModel(
    seed=0,
    model_dtype="float64",
    type_names=types,
    r_max=4.0,
    num_layers=3,
    l_max=2,
    parity=True,
    num_features=16,
    avg_num_neighbors=8.0,
)
build = time.perf_counter() - started
if library == "e3nn":
    torch.save(model.state_dict(), state_file)
else:
    model.load_state_dict(torch.load(state_file, weights_only=True))

rng = np.random.default_rng(0)
graphs = []
for name in ("CH3CH2OH", "CH3COCH3", "CH3OCH3"):
    atoms = ase.build.molecule(name)
    atoms.rattle(0.1, rng=rng)
    atoms.cell = 20 * np.eye(3)
    graph = from_ase(atoms)
    graph["atom_types"] = torch.tensor([types.index(s) for s in atoms.get_chemical_symbols()])
    compute_neighborlist_(graph, r_max=4.0)
    graphs.append(graph)
batch = AtomicDataDict.batched_from_list(graphs)
target = torch.from_numpy(rng.normal(size=batch["pos"].shape))

first = model(dict(batch))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
losses, times = [], []
for _ in range(10):
    started = time.perf_counter()
    optimizer.zero_grad()
    out = model(dict(batch))
    loss = out["total_energy"].square().mean() + (out["forces"] - target).square().mean()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    times.append(time.perf_counter() - started)
result = {
    "energy": first["total_energy"].detach(),
    "forces": first["forces"].detach(),
    "losses": torch.tensor(losses),
    "seconds": torch.tensor([build, sorted(times)[5]]),
}
torch.save(result, result_file)

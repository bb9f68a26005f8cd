"""MACE on e3nn or on symscape: energies, forces, and the loss of ten training steps.

Run as ``mace_step.py e3nn|symscape STATE RESULT``: on e3nn the state dict is written, on symscape
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
from e3nn import o3  # noqa: E402
from mace import data, modules  # noqa: E402
from mace.tools import AtomicNumberTable, torch_geometric  # noqa: E402

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
torch.manual_seed(0)
table = AtomicNumberTable([1, 6, 8])
block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
started = time.perf_counter()
model = modules.ScaleShiftMACE(
    r_max=4.0,
    num_bessel=8,
    num_polynomial_cutoff=5,
    max_ell=3,
    interaction_cls=block,
    interaction_cls_first=block,
    num_interactions=2,
    num_elements=3,
    hidden_irreps=o3.Irreps("16x0e+16x1o"),
    MLP_irreps=o3.Irreps("16x0e"),
    gate=torch.nn.functional.silu,
    atomic_energies=np.array([-1.0, -2.0, -3.0]),
    avg_num_neighbors=8.0,
    atomic_numbers=table.zs,
    correlation=3,
    radial_type="bessel",
    atomic_inter_scale=1.0,
    atomic_inter_shift=0.0,
)
build = time.perf_counter() - started
if library == "e3nn":
    torch.save(dict(model.state_dict()), state_file)
else:
    model.load_state_dict(torch.load(state_file, weights_only=True))

rng = np.random.default_rng(0)
graphs = []
for name in ("CH3CH2OH", "CH3COCH3", "CH3OCH3"):
    atoms = ase.build.molecule(name)
    atoms.rattle(0.1, rng=rng)
    atoms.info["REF_energy"] = -1.0
    atoms.arrays["REF_forces"] = rng.normal(size=(len(atoms), 3))
    keys = data.KeySpecification({"energy": "REF_energy"}, {"forces": "REF_forces"})
    config = data.config_from_atoms(atoms, key_specification=keys)
    graphs.append(data.AtomicData.from_config(config, z_table=table, cutoff=4.0))
batch = next(iter(torch_geometric.dataloader.DataLoader(graphs, batch_size=3))).to_dict()

first = model(batch, training=True)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
losses, times = [], []
for _ in range(10):
    started = time.perf_counter()
    optimizer.zero_grad()
    out = model(batch, training=True)
    loss = (out["energy"] - batch["energy"]).square().mean()
    loss = loss + (out["forces"] - batch["forces"]).square().mean()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    times.append(time.perf_counter() - started)
result = {
    "energy": first["energy"].detach(),
    "forces": first["forces"].detach(),
    "losses": torch.tensor(losses),
    "seconds": torch.tensor([build, sorted(times)[5]]),
}
torch.save(result, result_file)

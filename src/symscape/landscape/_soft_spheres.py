"""Soft repulsive spheres with periodic walls: the jamming that networks are compared with.

Paper A, Sec. II.A, Eqs. 1-3, Fig. 2: energy, contacts, Hessian parts, and compression to the
jamming point, where the number of contacts jumps to the number of degrees of freedom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csc_array, csr_array, eye_array
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from symscape._arguments import integer
from symscape.landscape._hessian import HessianParts

__all__ = [
    "Contacts",
    "JammingPoint",
    "SpherePacking",
    "jam_spheres",
    "minimize_packing",
    "random_packing",
    "sphere_hessian",
]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Contacts:
    """The pairs of particles that overlap.

    Attributes:
        pairs: indices (i, j) with i < j, ``(M, 2)``.
        overlaps: ``Delta_ij = R_i + R_j - r_ij > 0``, ``(M,)``.
        distances: ``r_ij``, ``(M,)``.
        normals: unit vectors from j to i, ``(M, d)``.
    """

    pairs: NDArray[np.int64]
    overlaps: Array
    distances: Array
    normals: Array

    def __len__(self) -> int:
        return len(self.overlaps)


@dataclass(frozen=True)
class SpherePacking:
    """Spheres in a periodic cube of side 1.

    Attributes:
        positions: ``(n, d)``.
        radii: ``(n,)``, positive; the largest diameter must be less than half the box.
    """

    positions: Array
    radii: Array

    def __post_init__(self) -> None:
        if self.positions.ndim != 2 or self.radii.shape != self.positions.shape[:1]:
            raise ValueError(
                "positions and radii must have shapes (n, d) and (n,); got "
                f"{self.positions.shape} and {self.radii.shape}"
            )
        if not np.isfinite(self.positions).all():
            raise ValueError("positions must be finite")
        if not 0 < self.radii.min() <= self.radii.max() < 0.25:
            raise ValueError(
                "radii must lie in (0, 0.25), so that a pair touches only once through the "
                f"walls; got {self.radii.min():.4g} to {self.radii.max():.4g}: use more particles"
            )

    @property
    def n(self) -> int:
        """Number of particles."""
        return self.positions.shape[0]

    @property
    def d(self) -> int:
        """Dimension of space."""
        return self.positions.shape[1]

    @property
    def packing_fraction(self) -> float:
        """Volume of the spheres, overlaps counted twice, over the volume of the box."""
        ball = math.pi ** (self.d / 2) / math.gamma(self.d / 2 + 1)
        return float(ball * np.sum(self.radii**self.d))

    @property
    def mean_diameter(self) -> float:
        """Mean diameter, the unit of length of energies that are compared."""
        return float(2 * self.radii.mean())

    def rescaled(self, packing_fraction: float) -> SpherePacking:
        """The same positions with all radii scaled to a packing fraction."""
        factor = (packing_fraction / self.packing_fraction) ** (1 / self.d)
        return replace(self, radii=self.radii * factor)

    def contacts(self) -> Contacts:
        """Overlapping pairs, by a periodic k-d tree."""
        wrapped = self.positions % 1.0
        wrapped[wrapped >= 1.0] = 0.0  # rounding of tiny negative numbers
        tree = cKDTree(wrapped, boxsize=1.0)
        pairs = tree.query_pairs(2 * float(self.radii.max()), output_type="ndarray")
        separation = wrapped[pairs[:, 0]] - wrapped[pairs[:, 1]]
        separation -= np.round(separation)
        distances = np.sqrt(np.einsum("ij,ij->i", separation, separation))
        overlaps = self.radii[pairs].sum(1) - distances
        touching = overlaps > 0
        distances = distances[touching]
        if distances.size and distances.min() == 0:
            raise ValueError("positions: two particles coincide, their normal is undefined")
        normals = separation[touching] / distances[:, None]
        return Contacts(pairs[touching], overlaps[touching], distances, normals)

    def energy(self) -> float:
        """``U = sum Delta^2 / 2`` over the contacts (paper A, Eq. 1)."""
        return 0.5 * float(np.sum(self.contacts().overlaps ** 2))

    def forces(self) -> Array:
        """``-grad U = sum_j Delta_ij n_ij``, ``(n, d)``."""
        contacts = self.contacts()
        return _gather(contacts.overlaps[:, None] * contacts.normals, contacts.pairs, self.n)

    def rattlers(self) -> NDArray[np.bool_]:
        """Mask of the particles that bear no load: fewer than d + 1 contacts, recursively."""
        return unloaded(self.contacts().pairs, self.n, self.d + 1)


@dataclass(frozen=True)
class JammingPoint:
    """A packing just above jamming and the path that led there.

    Attributes:
        packing: the last state, with energy per particle at the target.
        n_delta: contacts between particles that are not rattlers.
        degrees_of_freedom: ``d (n - rattlers) - d``: without rattlers and global translations.
        n_rattlers: number of rattlers.
        path: one row per minimized state above jamming: packing fraction, energy per particle
            in units of the mean diameter squared, contacts, degrees of freedom; ``(K, 4)``.
    """

    packing: SpherePacking
    n_delta: int
    degrees_of_freedom: int
    n_rattlers: int
    path: Array

    @property
    def contacts_per_freedom(self) -> float:
        """``N_delta / N``: 1 at jamming (isostatic), one contact more at positive pressure."""
        return self.n_delta / self.degrees_of_freedom


def random_packing(
    n: int, d: int, packing_fraction: float, *, seed: int = 0, size_ratio: float = 1.4
) -> SpherePacking:
    """Uniformly random positions; half of the particles are larger by ``size_ratio``.

    Two sizes keep disks from crystallizing; ``size_ratio=1`` makes all equal.

    Raises:
        ValueError: ``n`` < 2, ``d`` < 1, a fraction or ratio that is not positive, or too few
            particles for the radii (see ``SpherePacking``).
    """
    n, d = integer("n", n, 2), integer("d", d, 1)
    if not packing_fraction > 0 or not size_ratio > 0:
        raise ValueError(
            f"packing_fraction and size_ratio must be positive; got {packing_fraction}, "
            f"{size_ratio}"
        )
    positions = np.random.default_rng(seed).random((n, d))
    radii = np.where(np.arange(n) < n // 2, 1.0, size_ratio)
    ball = math.pi ** (d / 2) / math.gamma(d / 2 + 1)
    radii *= (packing_fraction / (ball * np.sum(radii**d))) ** (1 / d)
    return SpherePacking(positions, radii)


def minimize_packing(
    packing: SpherePacking, *, tolerance: float = 1e-7, max_iterations: int = 2000
) -> SpherePacking:
    """Move the particles to a minimum of the energy at fixed radii.

    L-BFGS until the forces are small, then damped Newton steps with the sparse Hessian, which
    converge in tens of steps near jamming where first-order methods need thousands.

    Args:
        packing: start.
        tolerance: largest force component at the end, in units of the rms overlap.
        max_iterations: limit on the iterations of either stage.

    Returns:
        The packing at the end, positions inside the box. A state whose energy per particle is
        below ``1e-20`` mean diameters squared counts as unjammed and is returned as it is.
    """
    return _newton(_descend(packing, max_iterations), tolerance, max_iterations)


def _descend(packing: SpherePacking, max_iterations: int) -> SpherePacking:
    """L-BFGS down to forces of a hundredth of the initial overlaps."""
    unit = _rms_overlap(packing)
    if _unjammed(packing):
        return packing
    shape, radii = packing.positions.shape, packing.radii

    def energy_and_gradient(flat: Array) -> tuple[float, Array]:
        moved = SpherePacking(flat.reshape(shape), radii)
        contacts = moved.contacts()
        scaled = contacts.overlaps / unit
        forces = _gather(scaled[:, None] * contacts.normals, contacts.pairs, moved.n)
        return 0.5 * float(scaled @ scaled) * unit, -forces.ravel()

    found = minimize(
        energy_and_gradient,
        packing.positions.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxcor": 20, "ftol": 0.0, "gtol": 1e-2, "maxiter": max_iterations},
    )
    return replace(packing, positions=found.x.reshape(shape) % 1.0)


def _newton(packing: SpherePacking, tolerance: float, max_iterations: int) -> SpherePacking:
    """Levenberg-Marquardt; the damping follows the gain over the predicted fall (Nielsen's rule).

    The Hessian jumps as contacts open and close and may be indefinite, so every step is checked.
    """
    damping, growth = 1e-3, 2.0
    energy, contacts = packing.energy(), packing.contacts()
    for _ in range(max_iterations):
        if _unjammed(packing):
            break
        forces = _gather(contacts.overlaps[:, None] * contacts.normals, contacts.pairs, packing.n)
        if np.abs(forces).max() <= tolerance * _rms_overlap(packing):
            break
        blocks = np.add(*_pair_blocks(contacts))
        bare = _assemble(blocks, contacts.pairs, packing.n)
        damped = csc_array(bare + damping * eye_array(forces.size))
        step = _solve_symmetric(damped, forces.ravel())
        step *= min(1.0, 0.1 * packing.mean_diameter / float(np.abs(step).max()))
        predicted = float(step @ forces.ravel() - 0.5 * step @ (bare @ step))
        positions = (packing.positions + step.reshape(forces.shape)) % 1.0
        moved = replace(packing, positions=positions)
        moved_energy = moved.energy()
        if moved_energy < energy and predicted > 0:
            gain = (energy - moved_energy) / predicted
            damping = max(damping * max(0.2, 1 - (2 * gain - 1) ** 3), 1e-10)
            packing, energy, contacts, growth = moved, moved_energy, moved.contacts(), 2.0
        elif damping > 1e3:
            break  # rounding: no step lowers the energy any more
        else:
            damping *= growth
            growth *= 2
    return packing


def jam_spheres(
    n: int,
    d: int,
    *,
    seed: int = 0,
    start: float | None = None,
    target: float = 1e-12,
    size_ratio: float = 1.4,
    max_states: int = 60,
) -> JammingPoint:
    """Decompress a random packing to just above its jamming point.

    Above jamming the energy grows as ``(phi - phi_J)^2``: each step extrapolates ``sqrt(U)`` of
    the last two states to ``phi_J`` and closes 70 % of the distance; a step that unjams is
    halved and repeated from the last jammed state.

    Args:
        n: number of particles.
        d: dimension.
        seed: seed of the random start.
        start: packing fraction to begin at, well above jamming; None: 1.0 for d <= 2, 0.8 above.
        target: energy per particle to reach, in units of the mean diameter squared.
        size_ratio: of the two radii.
        max_states: limit on the number of minimizations.

    Raises:
        ValueError: as ``random_packing``, or a start below jamming.
        RuntimeError: the target was not reached within ``max_states`` minimizations.
    """
    if not target > 0:
        raise ValueError(f"target must be positive; got {target}")
    phi = (1.0 if d <= 2 else 0.8) if start is None else start
    packing = random_packing(n, d, phi, seed=seed, size_ratio=size_ratio)
    packing = minimize_packing(packing)
    energy = _energy_per_particle(packing)
    if energy <= target:
        raise ValueError(f"start = {phi} is not above jamming: it has no overlaps left")
    path = [(phi, energy, *_count(packing)[:2])]
    unjammed = 0.0
    for _ in range(max_states):
        guess = _extrapolate(path, packing)
        aim = phi - 0.7 * (phi - guess)
        if aim <= unjammed:
            aim = 0.5 * (phi + unjammed)
        # a state that is not quite at its minimum may unjam later: each is minimized to the end
        candidate = minimize_packing(packing.rescaled(aim))
        energy = _energy_per_particle(candidate)
        if energy < 0.01 * target:
            unjammed = aim
            continue
        packing, phi = candidate, aim
        path.append((phi, energy, *_count(packing)[:2]))
        if energy <= target:
            contacts, freedom, rattlers = _count(packing)
            return JammingPoint(packing, contacts, freedom, rattlers, np.array(path))
    raise RuntimeError(
        f"energy per particle {path[-1][1]:.2g} after {max_states} states; target {target:.2g}"
    )


def sphere_hessian(
    packing: SpherePacking, *, keep: NDArray[np.bool_] | None = None
) -> HessianParts:
    r"""``H_0`` and ``H_p`` of the energy (paper A, Eq. 3), ``(d n, d n)``, dense.

    On the relative coordinate of a contact, ``grad Delta = -n`` and ``grad grad Delta =
    -(1 - n n^T) / r``: ``H_p`` is negative semi-definite, so only enough contacts stabilize a
    packing. Particle i owns the coordinates ``d i .. d i + d - 1``.

    Args:
        packing: the particles.
        keep: mask ``(n,)``; only contacts between these count and only these have coordinates.
    """
    kept = np.ones(packing.n, dtype=bool) if keep is None else keep
    if kept.shape != (packing.n,):
        raise ValueError(f"keep must have shape ({packing.n},); got {kept.shape}")
    contacts = packing.contacts()
    inside = kept[contacts.pairs].all(1)
    number = np.cumsum(kept) - 1
    pairs = number[contacts.pairs[inside]]
    along, across = _pair_blocks(contacts)
    size = int(kept.sum())
    return HessianParts(
        torch.from_numpy(_assemble(along[inside], pairs, size).toarray()),
        torch.from_numpy(_assemble(across[inside], pairs, size).toarray()),
    )


def _assemble(blocks: Array, pairs: NDArray[np.int64], n: int) -> csr_array:
    """Matrix ``(d n, d n)`` from blocks ``(M, d, d)`` on the relative coordinates of pairs."""
    d = blocks.shape[1]
    i, j = pairs.T
    rows, columns = np.concatenate([i, j, i, j]), np.concatenate([i, j, j, i])
    values = np.concatenate([blocks, blocks, -blocks, -blocks])
    axis = np.arange(d)
    row_index = np.broadcast_to(d * rows[:, None, None] + axis[:, None], values.shape)
    column_index = np.broadcast_to(d * columns[:, None, None] + axis, values.shape)
    entries = (values.ravel(), (row_index.ravel(), column_index.ravel()))
    return csr_array(entries, shape=(n * d, n * d))


def _solve_symmetric(matrix: csc_array, right: Array) -> Array:
    """Sparse solve with the ordering and pivots for symmetric matrices: far less fill-in."""
    factors = splu(
        matrix,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return factors.solve(right)


def _gather(vectors: Array, pairs: NDArray[np.int64], n: int) -> Array:
    """Sum of pair vectors on their first particle, minus that on their second, ``(n, d)``."""
    columns = [
        np.bincount(pairs[:, 0], column, n) - np.bincount(pairs[:, 1], column, n)
        for column in vectors.T
    ]
    return np.stack(columns, 1)


def _pair_blocks(contacts: Contacts) -> tuple[Array, Array]:
    """The two parts of the Hessian on the relative coordinate of each contact, ``(M, d, d)``."""
    along = contacts.normals[:, :, None] * contacts.normals[:, None, :]
    ratio = (contacts.overlaps / contacts.distances)[:, None, None]
    return along, ratio * (along - np.eye(along.shape[1]))


def _rms_overlap(packing: SpherePacking) -> float:
    overlaps = packing.contacts().overlaps
    return float(np.sqrt(np.mean(overlaps**2))) if overlaps.size else 0.0


def _unjammed(packing: SpherePacking) -> bool:
    return _energy_per_particle(packing) < 1e-20


def _energy_per_particle(packing: SpherePacking) -> float:
    return packing.energy() / packing.n / packing.mean_diameter**2


def unloaded(pairs: NDArray[np.int64], n: int, least: int) -> NDArray[np.bool_]:
    """Mask of the particles with fewer than ``least`` contacts, ``(n,)``.

    Contacts with such particles do not count, recursively.
    """
    alive = np.ones(n, dtype=bool)
    while True:
        degree = np.bincount(pairs[alive[pairs].all(1)].ravel(), minlength=n)
        bearing = alive & (degree >= least)
        if (bearing == alive).all():
            return ~alive
        alive = bearing


def _count(packing: SpherePacking) -> tuple[int, int, int]:
    """Contacts between load-bearing particles, their degrees of freedom, number of rattlers."""
    rattlers = packing.rattlers()
    pairs = packing.contacts().pairs
    n_contacts = int((~rattlers)[pairs].all(1).sum())
    n_rattlers = int(rattlers.sum())
    return n_contacts, packing.d * (packing.n - n_rattlers - 1), n_rattlers


def _extrapolate(path: list[tuple[float, float, int, int]], packing: SpherePacking) -> float:
    """Packing fraction at which the square root of the energy would vanish."""
    phi, energy = path[-1][:2]
    if len(path) == 1:
        overlap = float(packing.contacts().overlaps.mean()) / packing.mean_diameter
        return phi * (1 - overlap) ** packing.d
    before, energy_before = path[-2][:2]
    root, root_before = math.sqrt(energy), math.sqrt(energy_before)
    return phi - root * (before - phi) / (root_before - root)

"""Deformations of images and relative stability (chapter 4)."""

from symscape.experiments.diffeomorphisms._augmentation import Augmentation
from symscape.experiments.diffeomorphisms._initialization import Initialization
from symscape.experiments.diffeomorphisms._networks import Networks
from symscape.experiments.diffeomorphisms._phase_diagram import PhaseDiagram
from symscape.experiments.diffeomorphisms._stripe import Stripe

__all__ = ["Augmentation", "Initialization", "Networks", "PhaseDiagram", "Stripe"]

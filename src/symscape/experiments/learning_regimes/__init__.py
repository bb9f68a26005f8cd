"""Feature and lazy training (chapter 3).

Paper I: *Disentangling feature and lazy training in deep neural networks*. Paper II:
*Perspective: a phase diagram for deep learning unifying jamming, feature learning and lazy
training*.
"""

from symscape.experiments.learning_regimes import _own_network as _own_network
from symscape.experiments.learning_regimes._cnn_curves import CnnCurves as CnnCurves
from symscape.experiments.learning_regimes._data_sets import DataSets as DataSets
from symscape.experiments.learning_regimes._details import Details as Details
from symscape.experiments.learning_regimes._kernels import Kernels as Kernels
from symscape.experiments.learning_regimes._own_network import networks as networks
from symscape.experiments.learning_regimes._own_network import regime_of as regime_of
from symscape.experiments.learning_regimes._own_network import scales as scales
from symscape.experiments.learning_regimes._own_network import small_cnn as small_cnn
from symscape.experiments.learning_regimes._own_network import small_fc as small_fc
from symscape.experiments.learning_regimes._phase_diagram import PhaseDiagram as PhaseDiagram
from symscape.experiments.learning_regimes._relu import Relu as Relu
from symscape.experiments.learning_regimes._scan import Scan as Scan
from symscape.experiments.learning_regimes._stripe import Invariants as Invariants

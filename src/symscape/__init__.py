"""symscape: Mario Geiger's thesis *Loss landscape and symmetries in Neural Networks*, executable.

The landscape half: :mod:`symscape.networks` <- :mod:`symscape.dynamics` <-
:mod:`symscape.landscape`, with :mod:`symscape.datasets` beside them.  The laboratory
(:mod:`symscape.lab`) runs the thesis's figures, which live in :mod:`symscape.experiments`.
Importing this package imports nothing heavy.
"""

__version__ = "0.1.0"

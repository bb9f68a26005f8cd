"""Feature and lazy training (chapter 3).

Paper I: *Disentangling feature and lazy training in deep neural networks*. Paper II:
*Perspective: a phase diagram for deep learning unifying jamming, feature learning and lazy
training*.
"""

"""Double descent (the second paper of chapter 2).

The paper *Scaling description of generalization with number of parameters in deep learning*.
"""

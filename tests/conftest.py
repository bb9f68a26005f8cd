"""Settings of the whole suite."""

import os
import signal

import torch
from hypothesis import settings

# Machines that run tests are busy; how long an example takes is no property of the code.
# CI judges a change on the same examples every time; elsewhere new ones are tried.
settings.register_profile("symscape", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("symscape")

# A suite that is started in the background inherits that Ctrl-C is ignored, and hands it on to the
# commands that the tests interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Without a GPU its kernels run in Triton's interpreter, if Triton is told so before it is imported.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

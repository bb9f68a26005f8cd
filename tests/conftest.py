"""Settings of the whole suite."""

import signal

from hypothesis import settings

# Machines that run tests are busy; how long an example takes is no property of the code.
settings.register_profile("symscape", deadline=None)
settings.load_profile("symscape")

# A suite that is started in the background inherits that Ctrl-C is ignored, and hands it on to the
# commands that the tests interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

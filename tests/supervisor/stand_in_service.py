"""A process that lives until it is told to end, in the place of the audit writer or the scripted model."""

import signal

signal.pause()

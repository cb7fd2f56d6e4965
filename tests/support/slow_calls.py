"""A call that takes a moment, for tests of where calls run. In a file that other processes can import."""

import os
import signal
import time


def process_after(seconds: float) -> int:
    """Which process waited."""
    time.sleep(seconds)
    return os.getpid()


def lose_its_process_once(marker: str) -> str:
    """End the process that runs it, the first time that it runs."""
    if not os.path.exists(marker):
        open(marker, "x").close()
        os._exit(1)
    return marker


def hears_ctrl_c(_: int) -> bool:
    """Whether SIGINT reaches this process."""
    return signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())

"""Parts of `simulator_speed.py`: what is timed, how, on what, and how it is shown."""

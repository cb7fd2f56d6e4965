"""Stages of the MX numerics; functions and classes are named as in `dense`."""

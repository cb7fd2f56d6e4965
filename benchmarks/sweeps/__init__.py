"""Sweeps of published layers, and the tables of their rows."""

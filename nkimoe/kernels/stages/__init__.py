"""Stages: the words block programs are made of. None takes a boolean."""

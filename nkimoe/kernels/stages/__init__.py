# SPDX-License-Identifier: Apache-2.0
"""Stages: the words block programs are made of. None takes a boolean."""

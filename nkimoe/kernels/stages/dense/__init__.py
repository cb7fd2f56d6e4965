"""Stages of the dense (bf16, fp16) numerics."""

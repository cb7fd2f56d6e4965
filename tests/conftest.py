"""What all tests share: examples that are drawn are the same in every run. New ones are the fuzz's to find."""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

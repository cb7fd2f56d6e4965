# SPDX-License-Identifier: Apache-2.0
"""Keeps every event."""

from __future__ import annotations

from nkisim.observe.event import Event, Finding, Observer


class Recorder(Observer):
    """`events`, in order of execution."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_instruction(self, event: Event) -> list[Finding]:
        self.events.append(event)
        return []

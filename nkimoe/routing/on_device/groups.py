# SPDX-License-Identifier: Apache-2.0
"""The choice among groups of neighbouring experts: which experts are in one of the best groups."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.routing.on_device.largest import AT_ONCE, MASKED, copy_where, largest, room
from nkimoe.routing.on_device.listed import is_listed
from nkimoe.routing.rule import GroupScore, RoutingRule


def in_top_groups(choice: Any, n_experts: int, rule: RoutingRule, columns: Any) -> Any:
    """`choice`, a tile of `room`, with MASKED for experts of other groups. columns: `numbers` of G or more."""
    rows, groups = choice.shape[0], rule.groups
    members = choice[:, :n_experts].reshape((rows, groups, n_experts // groups))
    score = room(rows, groups)
    GROUP_SCORES[rule.group_score](score[:, :groups], members)
    stays = is_listed(columns[:, :groups], largest(score, rule.top_groups).ids, nl.uint8)
    of_members = stays.ap(pattern=[[groups, rows], [1, groups], [0, members.shape[2]]])
    return copy_where(of_members, members, rows, n_experts)


def best(dst: Any, members: Any) -> None:
    """dst [rows, G] = the largest of members [rows, G, M]."""
    nisa.tensor_reduce(dst=dst, op=nl.maximum, data=members, axis=2)


def best_two(dst: Any, members: Any) -> None:
    """dst [rows, G] = the sum of the two largest; a MASKED second one adds nothing."""
    rows, groups, size = members.shape
    for g in range(groups):
        alone = room(rows, size)
        nisa.tensor_copy(dst=alone[:, :size], src=members[:, g, :])
        top, second = (nl.ndarray((rows, n), dtype=nl.float32, buffer=nl.sbuf) for n in (AT_ONCE, 1))
        nisa.max8(dst=top, src=alone)
        nisa.scalar_tensor_tensor(
            dst=second, data=top[:, 1:2], op0=nl.greater, operand0=MASKED, op1=nl.multiply, operand1=top[:, 1:2]
        )
        nisa.tensor_tensor(dst=dst[:, g : g + 1], data1=top[:, 0:1], data2=second, op=nl.add)


GROUP_SCORES = {GroupScore.MAX: best, GroupScore.TOP_2_SUM: best_two}

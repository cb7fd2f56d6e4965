# SPDX-License-Identifier: Apache-2.0
"""What instructions are made of: operations and how they are carried out, guards, operators, registers of engines."""

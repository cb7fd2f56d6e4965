# SPDX-License-Identifier: Apache-2.0
"""What `nki.language` adds to the instructions: allocation, launch queries, and tile functions built on them."""

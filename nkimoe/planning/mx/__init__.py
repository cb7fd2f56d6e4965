# SPDX-License-Identifier: Apache-2.0
"""What planning knows of the MX formats."""

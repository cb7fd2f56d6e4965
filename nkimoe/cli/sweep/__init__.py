# SPDX-License-Identifier: Apache-2.0
"""`nkimoe sweep`: one prediction for every layout of a layer."""

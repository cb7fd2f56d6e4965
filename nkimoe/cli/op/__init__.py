# SPDX-License-Identifier: Apache-2.0
"""`nkimoe op NAME`: every operation of `nkimoe.ops` from the command line, as Composable Kernel's examples run."""

"""`nkimoe op NAME`: every operation of `nkimoe.ops` from the command line, as Composable Kernel's examples run."""

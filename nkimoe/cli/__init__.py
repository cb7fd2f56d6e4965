"""The `nkimoe` command."""

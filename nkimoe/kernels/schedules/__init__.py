"""Which blocks, in which loop. All device loops live here."""

"""`nkimoe sweep`: one prediction for every layout of a layer."""

"""What fixed calls give, to the bit: a change of structure leaves every fingerprint as it was."""

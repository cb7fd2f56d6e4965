"""What layers lose against their roofline: rows, tables and a picture for `moe_layers.py`."""

"""How one block is processed: sentences of stage calls."""

"""What the documentation's site adds to `docs/` when it is built: generated pages, and links that leave the folder."""

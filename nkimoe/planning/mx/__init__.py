"""What planning knows of the MX formats."""

"""What the operator changes and asks."""

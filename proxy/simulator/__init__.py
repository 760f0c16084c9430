"""A fake provider with faults to switch on and books of its own."""

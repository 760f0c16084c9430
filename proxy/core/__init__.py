"""What every other part may use: values without I/O."""

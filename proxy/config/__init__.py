"""Every setting, how it is read and how it is swapped."""

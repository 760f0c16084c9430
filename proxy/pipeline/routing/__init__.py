"""Where a request goes: presets, targets, their order."""

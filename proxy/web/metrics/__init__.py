"""GET /metrics: what happens now and what was counted since the start."""

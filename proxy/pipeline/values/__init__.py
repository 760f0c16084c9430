"""What the steps hand on: plain values of one request, without I/O and without state that outlives it."""

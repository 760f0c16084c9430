"""Everything beyond our socket: connections, provider rows, prices, look-ups."""

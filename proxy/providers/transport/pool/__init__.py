"""The fast transport: a pool of connections to one origin."""

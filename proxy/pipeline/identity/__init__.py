"""Who asks: tokens, users, the people behind a service's token."""

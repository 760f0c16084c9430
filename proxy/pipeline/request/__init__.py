"""What a client sent: body, headers, tags."""

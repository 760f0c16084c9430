"""What users ask about themselves."""

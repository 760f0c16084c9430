"""Alerts: what is measured, what is told of it, and how that reaches people."""

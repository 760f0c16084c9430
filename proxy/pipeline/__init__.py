"""One request, top to bottom. Read run.py first."""

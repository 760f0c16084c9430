"""The dashboard: pages for operators and users, made on the server over the operator's API."""

"""One file for each subject of the dashboard; each ends with its VIEWS."""

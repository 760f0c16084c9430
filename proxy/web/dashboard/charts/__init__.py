"""Charts as SVG made on the server: pure functions from values to the markup of one figure."""

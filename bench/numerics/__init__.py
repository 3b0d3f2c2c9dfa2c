"""Numerical methods in numpy or plain arithmetic, where the import of scipy would take longer than the answer."""

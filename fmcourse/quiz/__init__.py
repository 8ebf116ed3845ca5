"""Predictions and exercises: what every notebook asks of its reader."""

"""Test protocols and accuracy, on clips and on long videos."""

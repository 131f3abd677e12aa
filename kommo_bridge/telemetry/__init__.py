"""What every room reports: logs, metrics, incidents, error reports."""

"""What looks at everything: alerts, the watch, the doctor."""

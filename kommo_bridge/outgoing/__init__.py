"""Every call that leaves us: its total time and its largest size."""

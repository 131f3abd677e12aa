"""Who may speak to the bridge, and how they are answered."""

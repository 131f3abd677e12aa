"""The operator's commands: `flask integrations`, `flask token`, `flask widget`."""

"""The operator's commands: thin, one module per group."""

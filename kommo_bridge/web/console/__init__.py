"""The console: a page for people who never open a shell. Thin views over the other rooms."""

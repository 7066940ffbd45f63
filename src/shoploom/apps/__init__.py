"""What the shop asks for: thin functions from an engine and plain arguments to plain dicts, one file per topic."""

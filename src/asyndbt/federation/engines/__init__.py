"""Who carries the messages, and what time it is."""

"""A mock of PiAPI: its endpoints, rules and failures, free and offline, with placeholder images."""

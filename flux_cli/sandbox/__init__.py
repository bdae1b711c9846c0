"""PiAPI in miniature: the service's endpoints and rules, free, offline, with pictures drawn on the spot."""

"""The commands, one module a group. A command takes options in, makes one call, and leaves the rest to others."""

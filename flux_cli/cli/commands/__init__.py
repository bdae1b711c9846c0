"""The commands, one module per group. A command receives its options and makes one call."""

"""The commands, one module per command: its options, its examples, and a function that yields its output."""

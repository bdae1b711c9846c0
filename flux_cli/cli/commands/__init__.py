"""The commands, one module each: its options, its examples, and a function that yields what is to be printed."""

"""Documents that are generated from the program: the command tree, and its formats."""

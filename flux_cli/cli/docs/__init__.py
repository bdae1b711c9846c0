"""What is written from the program itself, for people and machines: the command tree, and each form it is told in."""

"""What the program raises when the user's own input is wrong. cli.main prints the text and exits with 2."""


class InputError(Exception):
    """A file, option or value from the user is wrong. The text says where, what, and what is allowed, a line each."""

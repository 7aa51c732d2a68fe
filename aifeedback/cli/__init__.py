"""The command line: options become one library call, its result becomes a screen."""

"""The command ``asyndbt``: one file per subcommand, each a thin layer over the library."""

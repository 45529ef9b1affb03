"""The command `makfs`: people's and scripts' way to a running kernel. Touches no database."""

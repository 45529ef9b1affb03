"""The running kernel of one repository: supervisor, control socket, daemon."""

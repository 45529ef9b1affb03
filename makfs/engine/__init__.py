"""The running file system: views, staging, the corridor of a write, and its effects. Trio begins here."""

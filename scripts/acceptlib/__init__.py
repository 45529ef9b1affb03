"""What `scripts/acceptance` is made of: how yardsticks are called, what their figures are held against."""

"""What `scripts/bench` measures, and how: the native directory, bindfs and makfs side by side in one run."""

"""What `scripts/docs` is made of: pictures, tours and lists that come from the code and from real runs."""

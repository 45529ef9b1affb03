"""The control protocol: what a client and a running makfsd say to each other. Pure, sans-IO."""

"""What each client can cost all others. Keys `fair.*`."""

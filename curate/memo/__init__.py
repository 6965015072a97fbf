"""What has been computed once: keys, storage."""

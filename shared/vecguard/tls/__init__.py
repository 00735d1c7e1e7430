"""TLS for every link: files, contexts, rotation, names in certificates."""

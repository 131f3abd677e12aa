"""One file for each kind of source. Bytes in, blocks out; no other file imports their packages."""

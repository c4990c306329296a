//! What the product asks of the operating system beyond the standard library: process descriptors, shared memory,
//! futexes, peer credentials, process groups. A port to another system is this folder.

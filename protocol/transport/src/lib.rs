//! The stream between a manager and one client, behind one small interface, and the addresses at which managers are
//! found. Unix sockets are its one implementation so far.

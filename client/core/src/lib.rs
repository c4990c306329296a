//! One session with a manager, seen from the client, without I/O: request ids, pending requests, acknowledgements,
//! frames in and out, late answers, the end.

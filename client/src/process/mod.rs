//! What this process is, and what it starts: its threads' numbers, copies of its program, a private manager, and
//! messages with open descriptors to the processes that it started.

pub(crate) mod descriptor_message;
pub(crate) mod private_manager;
pub(crate) mod role;
pub(crate) mod thread;

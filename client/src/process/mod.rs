//! This process and the processes that it starts: the numbers of its threads, copies of its program, a private manager,
//! and messages with open descriptors to the processes that it started.

pub(crate) mod descriptor_message;
pub(crate) mod private_manager;
pub(crate) mod role;
pub(crate) mod thread;

//! Large memory is let go of in a thread of its own: the system takes a tenth of a second to free each gibibyte, which
//! the event loop must not wait for.

use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::thread;

/// Where to send what is to be dropped; none if there is no thread for it.
static CLOSER: OnceLock<Option<Sender<Box<dyn Send>>>> = OnceLock::new();

/// The stack of the thread, in bytes. It drops, and calls nothing else.
const STACK_BYTES: usize = 128 << 10;

/// Drops this soon, and elsewhere if there can be a thread.
pub(super) fn drop_elsewhere(memory: impl Send + 'static) {
    if let Some(closer) = CLOSER.get_or_init(start) {
        // The thread never ends, so it takes this.
        let _ = closer.send(Box::new(memory));
    }
}

fn start() -> Option<Sender<Box<dyn Send>>> {
    let (sender, receiver) = mpsc::channel::<Box<dyn Send>>();
    let thread = thread::Builder::new().name("closer".to_owned()).stack_size(STACK_BYTES);
    match thread.spawn(move || receiver.into_iter().for_each(drop)) {
        Ok(_) => Some(sender),
        Err(error) => {
            log::warn!(
                "large memory is freed by the event loop itself, as there is no thread for it: {error}"
            );
            None
        }
    }
}

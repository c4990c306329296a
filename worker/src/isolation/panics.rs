//! Panics of tasks: caught, and reported to the caller with their message and location.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};

thread_local! {
    /// The message of this thread's last panic, and where it happened.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes every panic, and then calls the previous hook, which by default prints it to standard error.
pub(crate) fn note_all() {
    let before = take_hook();
    set_hook(Box::new(move |panic| {
        LAST.set(Some(describe(panic)));
        before(panic);
    }));
}

/// Runs a function, and returns what it returned, or the message of its panic.
pub(crate) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    // The values that a panic unwinds through belong to one task and are dropped with it, so nobody sees them half
    // changed. The task's own statics are its own concern, as after any panic that is caught.
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| LAST.take().unwrap_or_else(|| message(&*payload)))
}

fn describe(panic: &PanicHookInfo<'_>) -> String {
    let message = message(panic.payload());
    match panic.location() {
        Some(location) => format!("{message} (at {location})"),
        None => message,
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a value that is not text").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_reported_with_its_message_and_location() {
        note_all();
        assert_eq!(catch(|| 7), Ok(7));
        let text = catch(|| panic!("number {}", 5)).unwrap_err();
        assert!(text.starts_with("number 5 (at ") && text.contains("panics.rs:"), "{text}");
        let text = catch(|| std::panic::panic_any(5)).unwrap_err();
        assert!(text.starts_with("a value that is not text (at "), "{text}");
    }
}

//! Tasks: plain functions that a pool's workers call.
//!
//! A task has a name, since one process submits it and another process runs it. A function of the program itself has
//! the path that the compiler gives it, as in `backup::copy_folder`, so a call site just names the function and its
//! types are checked. A function of a program that was built apart has the name under which that program registered it,
//! and [`named`] gives its types.
//!
//! While it runs, a task learns here whether it must stop: [`stop_requested`] asks, [`sleep`] ends early, and a wait
//! for [`stop_event`] can include other objects. [`current_call`] says which call it is, and which worker runs it.

mod call;
mod context;
mod function;
mod registered;

pub use call::{CallError, append_value, read_value};
pub(crate) use context::current_stop;
pub use context::{CurrentCall, current_call, sleep, stop_cause, stop_event, stop_requested};
#[doc(hidden)]
pub use context::{TaskScope, enter_task, is_known_stopped, is_stopped, set_worker_index};
pub use function::{LocalFunction, Named, TaskFunction, named};
pub(crate) use registered::{check_registered, is_registry_set};
pub use registered::{name_fault, set_registered};

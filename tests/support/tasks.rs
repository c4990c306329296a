//! How a function becomes a task: an attribute marks it, and the workers of this program know it.

use worker::Registry;

/// What adds one function to a registry.
pub(crate) struct MarkedTask(pub(crate) fn(Registry) -> Registry);

inventory::collect!(MarkedTask);

/// Makes a task of a function: `#[apply(task_function)]`.
macro_rules! task_function {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident $($rest:tt)*) => {
        $(#[$attribute])*
        $visibility fn $name $($rest)*

        inventory::submit! { $crate::support::tasks::MarkedTask(|registry| registry.task($name)) }
    };
}

pub(crate) use task_function;

/// All tasks of this program.
pub(crate) fn registry() -> Registry {
    inventory::iter::<MarkedTask>().fold(Registry::new(), |registry, function| (function.0)(registry))
}

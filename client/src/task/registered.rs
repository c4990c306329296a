//! The functions that this program registered, so that submitting any other function is an error at once.

use std::sync::OnceLock;

use protocol::{Name, shortened};

use crate::{Error, ErrorKind};

/// The names that `rallypoint::init` found in the registry, sorted; unset in a program that did not call it.
static REGISTERED: OnceLock<Vec<String>> = OnceLock::new();

/// Publishes the names of this program's registry. Only the first call counts.
pub fn set_registered(mut names: Vec<String>) {
    names.sort();
    let _ = REGISTERED.set(names);
}

/// Whether the program published its registry, as `rallypoint::init` does.
pub(crate) fn is_registry_set() -> bool {
    REGISTERED.get().is_some()
}

/// Refuses a function that this program's workers do not know.
pub(crate) fn check_registered(name: &str) -> Result<(), Error> {
    check_against(name, REGISTERED.get().map_or(&[], Vec::as_slice))
}

fn check_against(name: &str, registered: &[String]) -> Result<(), Error> {
    if registered.iter().any(|known| known == name) {
        return Ok(());
    }
    let text = match name_fault(name) {
        Some(fault) => fault,
        None => format!(
            "the function `{}` is not registered; `rallypoint::init` was given {}",
            shortened(name),
            if registered.is_empty() { "no functions".to_owned() } else { list(registered) }
        ),
    };
    Err(Error::new(ErrorKind::UnknownFunction, text))
}

/// The fault of a name that cannot name a function, if it has one.
pub fn name_fault(name: &str) -> Option<String> {
    if name.ends_with("{{closure}}") {
        Some(format!(
            "`{}` is a closure, which has no name of its own: write a function, or register it under a name",
            shortened(name)
        ))
    } else if name.starts_with("fn(") {
        Some(format!(
            "`{}` is a function pointer, which has no name: give the function itself, or a name",
            shortened(name)
        ))
    } else {
        Name::check(name)
            .err()
            .map(|error| format!("`{}` does not name a function: {error}", shortened(name).escape_debug()))
    }
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::TaskFunction;

    #[test]
    fn an_unknown_function_is_refused_with_the_known_ones() {
        let registered = ["app::load".to_owned(), "app::store".to_owned()];
        assert!(check_against("app::store", &registered).is_ok());
        let error = check_against("app::steal", &registered).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the function `app::steal` is not registered; `rallypoint::init` was given `app::load`, `app::store`"
        );
    }

    #[test]
    fn a_name_that_is_not_a_functions_own_is_a_fault() {
        let closure = |number: u32| number;
        assert!(name_fault(TaskFunction::<(u32,)>::name(&closure)).unwrap().contains("is a closure"));
        let pointer: fn(u32) -> u32 = closure;
        assert!(
            name_fault(TaskFunction::<(u32,)>::name(&pointer)).unwrap().contains("is a function pointer")
        );
        assert!(name_fault("").unwrap().contains("must not be empty"));
        assert_eq!(name_fault("app::load::<fn(u32)>"), None);
    }
}

//! The initializer: called once in each worker, before its first task.

use client::Result;
use client::internal::{CallError, Initializer, InitializerAnswer, read_value};
use protocol::calls;
use serde::de::DeserializeOwned;

use crate::error::failed;
use crate::isolation::{fork, panics};
use crate::registry::Registry;

/// Calls the initializer. A panic is an error, and so is an error that it returns.
pub(crate) fn initialize(registry: &Registry, initializer: &Initializer) -> Result<()> {
    call(registry, initializer)
        .map_err(|text| failed(&format!("its initializer `{}` {text}", initializer.function)))
}

fn call(registry: &Registry, initializer: &Initializer) -> std::result::Result<(), String> {
    let function = registry.find(&initializer.function).ok_or("is not registered")?;
    let mut result = Vec::new();
    let mut keep = |bytes: &[u8], _, _| result = bytes.to_vec();
    let outcome = panics::catch(|| function(&initializer.arguments, &mut Vec::new(), None, &mut keep));
    fork::end_if_forked();
    outcome.map_err(|panic| format!("panicked: {panic}"))?.map_err(|error| wrong_types(&error))?;
    match initializer.answer {
        InitializerAnswer::Nothing => Ok(()),
        InitializerAnswer::Error => check::<client::Error>(&result),
        InitializerAnswer::Text => check::<String>(&result),
    }
}

/// Decodes what it returned, and passes an error on.
fn check<E: DeserializeOwned + std::fmt::Display>(mut result: &[u8]) -> std::result::Result<(), String> {
    let result = calls::take_first(&mut result).unwrap_or_default();
    let result: std::result::Result<(), E> = read_value(result).map_err(|error| wrong_types(&error))?;
    result.map_err(|error| format!("failed: {error}"))
}

fn wrong_types(error: &CallError) -> String {
    format!("is called with, or returns, other types than the pool was given: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(function: &str, answer: InitializerAnswer) -> std::result::Result<(), String> {
        let registry = Registry::new()
            .named("nothing", |_: u8| ())
            .named("text", |number: u8| if number < 9 { Ok(()) } else { Err(format!("{number}")) })
            .named("panic", |_: u8| -> () { panic!("no") });
        call(&registry, &Initializer { function: function.to_owned(), arguments: vec![9], answer })
    }

    #[test]
    fn every_failure_is_reported() {
        assert_eq!(run("nothing", InitializerAnswer::Nothing), Ok(()));
        assert_eq!(run("text", InitializerAnswer::Text), Err("failed: 9".to_owned()));
        assert!(run("panic", InitializerAnswer::Nothing).unwrap_err().starts_with("panicked: "));
        assert_eq!(run("unheard of", InitializerAnswer::Nothing), Err("is not registered".to_owned()));
        assert!(run("nothing", InitializerAnswer::Error).unwrap_err().contains("other types"));
    }
}

//! The functions that a program's workers can run, by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use client::internal::{
    CallError, Carried, Link, OwnBlob, append_value, collect_carried, name_fault, read_value,
};
use client::task::LocalFunction;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::isolation::fork;

/// The functions that a program's workers can run, each under the name that tasks call it by.
///
/// ```
/// use worker::Registry;
///
/// fn add(left: u32, right: u32) -> u32 {
///     left + right
/// }
///
/// fn greet(name: String) -> String {
///     format!("Hello, {name}!")
/// }
///
/// let registry = Registry::new().task(add).named("greet", greet);
/// # drop(registry);
/// ```
#[derive(Default)]
pub struct Registry {
    functions: BTreeMap<String, Function>,
    /// The first mistake. `init` reports it, since these methods return no error.
    fault: Option<String>,
}

/// A function without its types: it takes the encoded arguments of a call, memory for the result, and the way to the
/// manager for a large one, and hands over the encoded result.
///
/// It hands it over while the value still exists: if the value holds proxies, their objects have to live until the
/// manager keeps them for the result.
pub(crate) type Function =
    Box<dyn Fn(&[u8], &mut Vec<u8>, Option<&Arc<Link>>, HandOver<'_>) -> Result<(), CallError> + Send + Sync>;

/// Receives an encoded result, preceded by its length, or as a blob if it is large; and the objects whose proxies are
/// in it.
pub(crate) type HandOver<'a> = &'a mut dyn FnMut(&[u8], Option<OwnBlob>, Carried);

impl Registry {
    /// A registry without functions.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Adds a function of this program, under the path that the compiler gives it. Calls of the function name the same
    /// path. A closure has no such path: [`init`](crate::init) reports it as a mistake.
    pub fn task<F, Arguments>(self, function: F) -> Registry
    where
        F: LocalFunction<Arguments, Output: Serialize> + Send + Sync + 'static,
        Arguments: DeserializeOwned,
    {
        let name = function.name().to_owned();
        self.add(name, function)
    }

    /// Adds a function, or a closure, under a name, so that programs built apart from this one can submit it with
    /// [`rallypoint::task::named`](client::task::named).
    pub fn named<F, Arguments>(self, name: impl Into<String>, function: F) -> Registry
    where
        F: LocalFunction<Arguments, Output: Serialize> + Send + Sync + 'static,
        Arguments: DeserializeOwned,
    {
        self.add(name.into(), function)
    }

    fn add<F, Arguments>(mut self, name: String, function: F) -> Registry
    where
        F: LocalFunction<Arguments, Output: Serialize> + Send + Sync + 'static,
        Arguments: DeserializeOwned,
    {
        let fault = name_fault(&name);
        let erased = Box::new(
            move |arguments: &[u8],
                  space: &mut Vec<u8>,
                  link: Option<&Arc<Link>>,
                  hand_over: HandOver<'_>| { run(&function, arguments, space, link, hand_over) },
        );
        let fault = match self.functions.insert(name.clone(), erased) {
            Some(_) => Some(format!("`{name}` is registered twice")),
            None => fault,
        };
        self.fault = self.fault.or(fault);
        self
    }

    /// The first mistake, if there is one.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// The names, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.functions.keys().cloned().collect()
    }

    /// The function of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Function> {
        self.functions.get(name)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.functions.keys()).finish()
    }
}

/// Makes a call, unless its arguments cannot be decoded.
fn run<F, Arguments>(
    function: &F,
    arguments: &[u8],
    space: &mut Vec<u8>,
    link: Option<&Arc<Link>>,
    hand_over: HandOver<'_>,
) -> Result<(), CallError>
where
    F: LocalFunction<Arguments, Output: Serialize>,
    Arguments: DeserializeOwned,
{
    let result = function.call(read_value(arguments)?);
    fork::end_if_forked();
    space.clear();
    let (encoded, carried) = collect_carried(|| append_value(&result, std::mem::take(space), link));
    let blob;
    (*space, blob) = encoded?;
    hand_over(space, blob, carried);
    Ok(())
}

#[cfg(test)]
mod tests {
    use protocol::calls;

    use super::*;

    fn double(number: u32) -> u32 {
        2 * number
    }

    fn divide(dividend: u32, divisor: u32) -> Result<u32, String> {
        dividend.checked_div(divisor).ok_or_else(|| "divided by zero".to_owned())
    }

    fn call<T: DeserializeOwned>(registry: &Registry, name: &str, arguments: &[u8]) -> Result<T, CallError> {
        let mut result = None;
        let function = registry.find(name).unwrap();
        function(arguments, &mut Vec::new(), None, &mut |mut bytes, _, carried| {
            assert_eq!(carried, Carried::default());
            result = Some(read_value(calls::take_first(&mut bytes).unwrap()).unwrap());
            assert!(bytes.is_empty());
        })?;
        Ok(result.expect("it returned without an error"))
    }

    #[test]
    fn functions_run_on_encoded_arguments() {
        let registry = Registry::new().named("double", double).named("divide", divide);
        assert_eq!(call::<u32>(&registry, "double", &[21]).unwrap(), 42);
        assert_eq!(call::<Result<u32, String>>(&registry, "divide", &[7, 2]).unwrap(), Ok(3));
        let error = call::<Result<u32, String>>(&registry, "divide", &[1, 0]).unwrap();
        assert_eq!(error, Err("divided by zero".to_owned()));
        assert!(registry.find("halve").is_none());
    }

    #[test]
    fn no_call_is_made_unless_its_arguments_decode() {
        let registry = Registry::new().named("fail", |_: bool| -> () { panic!("it was called") });
        assert!(matches!(call::<()>(&registry, "fail", &[9]), Err(CallError::Decode(_))));
        assert!(matches!(call::<()>(&registry, "fail", &[1, 1]), Err(CallError::Leftover { bytes: 1 })));
    }

    #[test]
    fn a_function_is_known_by_the_name_that_call_sites_use() {
        let registry = Registry::new().task(double);
        assert_eq!(registry.names(), [std::any::type_name_of_val(&double)]);
        assert_eq!(registry.fault(), None);
    }

    #[test]
    fn mistakes_are_kept_for_init_to_report() {
        let twice = Registry::new().task(double).named("x", divide).named("x", double);
        assert_eq!(twice.fault(), Some("`x` is registered twice"));
        let closure = Registry::new().task(|number: u32| number);
        assert!(closure.fault().unwrap().contains("is a closure"));
        let unnamed = Registry::new().named("", double);
        assert!(unnamed.fault().unwrap().contains("must not be empty"));
    }
}

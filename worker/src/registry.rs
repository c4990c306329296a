//! The functions that a program's workers can run, by name.

use std::collections::BTreeMap;
use std::fmt;

use client::internal::{Carried, ChunkError, ChunkWriter, collect_carried, name_fault, read_chunk};
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

/// A function without its types: it takes the encoded arguments of one or more calls, and hands over encoded results.
///
/// It hands them over while the values still exist: if the values hold proxies, their objects have to live until the
/// manager keeps them for the results.
pub(crate) type Function = Box<dyn Fn(&[u8], HandOver<'_>) -> Result<(), ChunkError> + Send + Sync>;

/// Receives encoded results, and the objects whose proxies are in them.
pub(crate) type HandOver<'a> = &'a mut dyn FnMut(&[u8], Carried);

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
    /// [`client::task::named`].
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
        let erased =
            Box::new(move |arguments: &[u8], hand_over: HandOver<'_>| run(&function, arguments, hand_over));
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

/// Makes all calls of a chunk, or none if the arguments of one cannot be decoded.
fn run<F, Arguments>(function: &F, arguments: &[u8], hand_over: HandOver<'_>) -> Result<(), ChunkError>
where
    F: LocalFunction<Arguments, Output: Serialize>,
    Arguments: DeserializeOwned,
{
    let calls: Vec<Arguments> = read_chunk(arguments)?;
    let call = |arguments| {
        let result = function.call(arguments);
        fork::end_if_forked();
        result
    };
    let results: Vec<F::Output> = calls.into_iter().map(call).collect();
    let (encoded, carried) = collect_carried(|| {
        let mut writer = ChunkWriter::new();
        results.iter().try_for_each(|result| writer.push(result))?;
        Ok::<_, ChunkError>(writer.finish())
    });
    hand_over(&encoded?, carried);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(number: u32) -> u32 {
        2 * number
    }

    fn divide(dividend: u32, divisor: u32) -> Result<u32, String> {
        dividend.checked_div(divisor).ok_or_else(|| "divided by zero".to_owned())
    }

    fn call<T: DeserializeOwned>(
        registry: &Registry,
        name: &str,
        arguments: &[u8],
    ) -> Result<Vec<T>, ChunkError> {
        let mut results = None;
        let function = registry.find(name).unwrap();
        function(arguments, &mut |bytes, carried| {
            assert_eq!(carried, Carried::default());
            results = Some(read_chunk(bytes).unwrap());
        })?;
        Ok(results.expect("it returned without an error"))
    }

    fn chunk<T: Serialize>(items: &[T]) -> Vec<u8> {
        let mut writer = ChunkWriter::new();
        items.iter().try_for_each(|item| writer.push(item)).unwrap();
        writer.finish()
    }

    #[test]
    fn functions_run_on_encoded_arguments() {
        let registry = Registry::new().named("double", double).named("divide", divide);
        assert_eq!(call::<u32>(&registry, "double", &chunk(&[(1_u32,), (2,), (3,)])).unwrap(), [2, 4, 6]);
        let quotients =
            call::<Result<u32, String>>(&registry, "divide", &chunk(&[(7_u32, 2_u32), (1, 0)])).unwrap();
        assert_eq!(quotients, [Ok(3), Err("divided by zero".to_owned())]);
        assert!(registry.find("halve").is_none());
    }

    #[test]
    fn no_call_is_made_unless_all_arguments_decode() {
        let registry = Registry::new().named("fail", |_: bool| -> () { panic!("it was called") });
        assert!(matches!(call::<()>(&registry, "fail", &[2, 1, 9]), Err(ChunkError::Decode(_))));
        assert!(matches!(call::<()>(&registry, "fail", &[1, 1, 1]), Err(ChunkError::Leftover { bytes: 1 })));
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

//! Functions that can be submitted to a pool: those of this program, and those that are known by name only.

use std::fmt;
use std::marker::PhantomData;

/// A function that can be submitted to a pool with these arguments, a tuple.
///
/// Every `fn` item of up to eight arguments is one. Its arguments and its result travel, so they are serde types, of
/// any size (see [`Bytes`](crate::Bytes)), without borrowed parts. A result of type `Result<T, E>` is a value like any
/// other: the caller gets the `Err` as the task returned it. Only a panic is an error of the task.
///
/// Closures cannot be submitted: the compiler gives them no name of their own.
pub trait TaskFunction<Arguments>: Copy {
    /// What the function returns.
    type Output;

    /// The name by which workers know the function.
    fn name(&self) -> &str;

    /// Whether the function belongs to another program, so that this program's registry says nothing about it.
    #[doc(hidden)]
    fn is_built_apart(&self) -> bool {
        false
    }
}

/// A function of this program, which its workers can register and run.
pub trait LocalFunction<Arguments>: TaskFunction<Arguments> {
    /// Runs the function.
    fn call(&self, arguments: Arguments) -> Self::Output;
}

macro_rules! implement_for_functions {
    ($(($($Argument:ident $argument:ident),*))*) => {$(
        impl<Function, Output, $($Argument),*> TaskFunction<($($Argument,)*)> for Function
        where
            Function: Fn($($Argument),*) -> Output + Copy + Send + Sync + 'static,
        {
            type Output = Output;

            fn name(&self) -> &str {
                std::any::type_name::<Function>()
            }
        }

        impl<Function, Output, $($Argument),*> LocalFunction<($($Argument,)*)> for Function
        where
            Function: Fn($($Argument),*) -> Output + Copy + Send + Sync + 'static,
        {
            fn call(&self, ($($argument,)*): ($($Argument,)*)) -> Output {
                self($($argument),*)
            }
        }
    )*};
}

implement_for_functions! {
    ()
    (A a)
    (A a, B b)
    (A a, B b, C c)
    (A a, B b, C c, D d)
    (A a, B b, C c, D d, E e)
    (A a, B b, C c, D d, E e, F f)
    (A a, B b, C c, D d, E e, F f, G g)
    (A a, B b, C c, D d, E e, F f, G g, H h)
}

/// A function that is known by name only, because the program that runs it was built apart from this one.
///
/// [`named`] makes it.
pub struct Named<Arguments, Output> {
    name: &'static str,
    signature: PhantomData<fn(Arguments) -> Output>,
}

/// The function that workers registered under this name, with the types that the caller says it has.
///
/// Nothing checks the types before the task runs: arguments that do not decode in the worker, and results that do
/// not decode here, are errors of [`AsyncResult::get`](crate::AsyncResult::get).
///
/// ```
/// use client::task::{TaskFunction, named};
///
/// let area = named::<(f64, f64), f64>("shapes/area");
/// assert_eq!(area.name(), "shapes/area");
/// ```
pub const fn named<Arguments, Output>(name: &'static str) -> Named<Arguments, Output> {
    Named { name, signature: PhantomData }
}

impl<Arguments, Output> TaskFunction<Arguments> for Named<Arguments, Output> {
    type Output = Output;

    fn name(&self) -> &str {
        self.name
    }

    fn is_built_apart(&self) -> bool {
        true
    }
}

// Derived, these would require the same of the arguments and of the output, though it contains neither.
impl<Arguments, Output> Clone for Named<Arguments, Output> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Arguments, Output> Copy for Named<Arguments, Output> {}

impl<Arguments, Output> fmt::Debug for Named<Arguments, Output> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Named").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() {}

    fn add(left: u32, right: u32) -> u32 {
        left + right
    }

    fn run<Arguments, F: LocalFunction<Arguments>>(function: F, arguments: Arguments) -> F::Output {
        function.call(arguments)
    }

    #[test]
    fn functions_are_called_with_a_tuple_and_known_by_their_path() {
        run(nothing, ());
        assert_eq!(run(add, (2, 3)), 5);
        assert!(
            TaskFunction::<(u32, u32)>::name(&add).ends_with("task::function::tests::add"),
            "{}",
            TaskFunction::name(&add)
        );
        assert!(!add.is_built_apart());
    }

    #[test]
    fn a_named_function_needs_nothing_of_its_types() {
        struct NotEvenClone;
        let function = named::<(NotEvenClone,), NotEvenClone>("far away");
        let copy = function;
        assert_eq!((function.name(), copy.name()), ("far away", "far away"));
        assert!(function.is_built_apart());
    }
}

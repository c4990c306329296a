//! How a test gets into the program: an attribute marks its function, which also gives the test its name.

use std::process::Command;

use libtest_mimic::Trial;

/// A function that is a test.
pub(crate) struct Test {
    /// The module that it is in.
    pub(crate) module: &'static str,
    /// Its name.
    pub(crate) name: &'static str,
    /// The function, which panics if the test fails.
    pub(crate) run: fn(),
    /// Whether it can run on this machine.
    pub(crate) is_possible: fn() -> bool,
}

inventory::collect!(Test);

/// Makes a test of a function: `#[apply(test)]`. With `#[only_if(condition)]` after it, the test is ignored on machines
/// where the function `condition` returns false.
macro_rules! test {
    (#[only_if($condition:path)] $(#[$attribute:meta])* fn $name:ident() $body:block) => {
        $(#[$attribute])*
        fn $name() $body

        inventory::submit! {
            $crate::support::registered_tests::Test {
                module: module_path!(),
                name: stringify!($name),
                run: $name,
                is_possible: $condition,
            }
        }
    };
    ($(#[$attribute:meta])* fn $name:ident() $body:block) => {
        $crate::support::test! {
            #[only_if($crate::support::registered_tests::always)] $(#[$attribute])* fn $name() $body
        }
    };
}

pub(crate) use test;

/// All tests of this program, in the order of their names.
pub(crate) fn all() -> Vec<Trial> {
    let mut trials: Vec<Trial> = inventory::iter::<Test>().map(trial).collect();
    trials.sort_by(|left, right| left.name().cmp(right.name()));
    trials
}

/// The name of a test is its path below this program.
fn trial(test: &Test) -> Trial {
    let module = test.module.split_once("::").map_or("", |(_program, module)| module);
    let run = test.run;
    let trial = Trial::test(format!("{module}::{}", test.name), move || {
        run();
        Ok(())
    });
    trial.with_ignored_flag(!(test.is_possible)())
}

/// The condition of a test that has none.
pub(crate) fn always() -> bool {
    true
}

/// The condition of a test that runs a program in Python.
pub(crate) fn has_python() -> bool {
    Command::new("python3").arg("--version").output().is_ok()
}

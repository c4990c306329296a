//! The rivals that Rallypoint is compared with. A rival that is not installed is left out, and named.

pub(crate) mod iceoryx;
pub(crate) mod python;
pub(crate) mod redis;

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::Result;

/// Which rivals are missing, and why.
#[derive(Debug, Default)]
pub(crate) struct Missing(RefCell<BTreeMap<&'static str, String>>);

impl Missing {
    /// The rival, if it could be started; otherwise notes why not.
    pub(crate) fn check<T>(&self, name: &'static str, rival: Result<T>) -> Option<T> {
        rival
            .map_err(|error| {
                self.0.borrow_mut().entry(name).or_insert_with(|| format!("{error:#}"));
            })
            .ok()
    }

    /// One line for each rival that was left out.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.borrow().iter().map(|(name, why)| format!("{name} was left out: {why}")).collect()
    }
}

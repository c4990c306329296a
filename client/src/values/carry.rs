//! Proxies inside other values: which objects a value carries, and why a proxy could not be decoded.
//!
//! The objects of a task's arguments must live until the task has them, so the code that encodes a task must know them.
//! Only serialization meets them all, and it can pass nothing but bytes; so each thread keeps notes here for itself.

use std::cell::RefCell;

use protocol::{Epoch, ObjectId};

use crate::{Error, ErrorKind, Result};

thread_local! {
    /// The objects whose proxies were serialized, while somebody collects.
    static CARRIED: RefCell<Option<Vec<(Epoch, ObjectId)>>> = const { RefCell::new(None) };

    /// Why a proxy could not be deserialized. Formats keep at most its text, and some not even that.
    static FAILURE: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// The objects whose proxies are in a value, each with the life of the manager that has it, and each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried(Vec<(Epoch, ObjectId)>);

impl Carried {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The objects, which must belong to this manager: it cannot keep those of another one alive.
    pub fn of(self, manager: Epoch) -> Result<Vec<ObjectId>> {
        let check = |(home, id)| {
            let text =
                "a proxy of another manager, or of an earlier life of this one, cannot travel through it";
            if home == manager { Ok(id) } else { Err(Error::new(ErrorKind::BadTarget, text)) }
        };
        self.0.into_iter().map(check).collect()
    }
}

/// Like [`collect_carried`], of proxies of one manager only.
pub(crate) fn collect_carried_of<R>(
    manager: Epoch,
    serialize: impl FnOnce() -> R,
) -> (R, Result<Vec<ObjectId>>) {
    let (result, carried) = collect_carried(serialize);
    (result, carried.of(manager))
}

/// Runs this closure, and returns its result with the objects whose proxies it serialized on this thread.
pub fn collect_carried<R>(serialize: impl FnOnce() -> R) -> (R, Carried) {
    /// Restores what an outer collection has so far, even if `serialize` panics.
    struct Outer(Option<Vec<(Epoch, ObjectId)>>);
    impl Drop for Outer {
        fn drop(&mut self) {
            CARRIED.set(self.0.take());
        }
    }

    let outer = Outer(CARRIED.replace(Some(Vec::new())));
    let result = serialize();
    let mut carried = CARRIED.take().unwrap_or_default();
    drop(outer);
    carried.sort_unstable();
    carried.dedup();
    (result, Carried(carried))
}

/// Takes the reason why a proxy could not be deserialized on this thread, if one was noted since the last call.
pub(crate) fn take_failure() -> Option<Error> {
    FAILURE.take()
}

/// Notes that a proxy was serialized.
pub(crate) fn note(epoch: Epoch, id: ObjectId) {
    CARRIED.with_borrow_mut(|carried| {
        if let Some(carried) = carried {
            carried.push((epoch, id));
        }
    });
}

/// Notes that a proxy could not be deserialized.
pub(crate) fn note_failure(error: &Error) {
    FAILURE.set(Some(error.clone()));
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const HOME: Epoch = Epoch(Uuid::from_u128(7));

    #[test]
    fn collections_nest_and_each_object_is_told_once() {
        let [first, second] = [1, 2].map(|number| ObjectId(Uuid::from_u128(number)));
        note(HOME, first);
        let (inner, outer) = collect_carried(|| {
            note(HOME, second);
            let ((), inner) = collect_carried(|| note(HOME, first));
            note(HOME, second);
            inner
        });
        assert_eq!((inner.of(HOME), outer.of(HOME)), (Ok(vec![first]), Ok(vec![second])));
    }

    #[test]
    fn a_collection_ends_with_a_panic() {
        let outcome = std::panic::catch_unwind(|| collect_carried(|| panic!("on purpose")));
        assert!(outcome.is_err());
        note(HOME, ObjectId(Uuid::nil()));
        assert_eq!(collect_carried(|| ()).1, Carried::default());
    }

    #[test]
    fn an_object_of_another_manager_is_refused() {
        let [first, second] = [1, 2].map(|number| ObjectId(Uuid::from_u128(number)));
        let ((), carried) = collect_carried_of(HOME, || note(HOME, first));
        assert_eq!(carried, Ok(vec![first]));
        let ((), carried) = collect_carried_of(HOME, || {
            note(HOME, first);
            note(Epoch(Uuid::from_u128(8)), second);
        });
        assert!(carried.unwrap_err().is_bad_target());
    }
}

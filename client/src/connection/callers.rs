//! The callers that wait for answers on one connection, and the reader while none of them has it.

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::RequestId;

use crate::connection::answer_slot::AnswerSlot;
use crate::connection::reader::Reader;
use crate::{Error, Result};

/// The callers that wait for answers, and the reader while none of them has it.
#[derive(Debug)]
pub(crate) struct Callers {
    /// The slots of all requests that are to be answered.
    slots: ById<Arc<AnswerSlot>>,
    /// The requests whose callers sleep. Any of these can become the reader.
    asleep: ById<()>,
    /// The reader, while no caller has it. It ends with the connection.
    reader: Option<Reader>,
    /// Why the connection is over.
    end: Option<Error>,
}

impl Callers {
    pub(crate) fn new(reader: Reader) -> Callers {
        Callers { slots: ById::new(), asleep: ById::new(), reader: Some(reader), end: None }
    }

    /// Enters the slot of a request.
    pub(crate) fn enter(&mut self, request: RequestId, slot: &Arc<AnswerSlot>) -> Result<()> {
        if let Some(end) = &self.end {
            return Err(end.clone());
        }
        self.slots.insert(request, Arc::clone(slot));
        Ok(())
    }

    /// Takes out the slot of a request.
    pub(crate) fn leave(&mut self, request: RequestId) -> Option<Arc<AnswerSlot>> {
        self.asleep.remove(request);
        self.slots.remove(request)
    }

    /// Decides how this caller waits: as the reader, or asleep if there is one.
    pub(crate) fn wait_or_read(&mut self, request: RequestId) -> Option<Reader> {
        // A caller whose answer has come must not become the reader.
        if !self.slots.contains(request) {
            return None;
        }
        let reader = self.reader.take();
        if reader.is_none() {
            self.asleep.insert(request, ());
        }
        reader
    }

    /// The reader, if no caller has it.
    pub(crate) fn take_reader(&mut self) -> Option<Reader> {
        self.reader.take()
    }

    /// Takes the reader back. If a caller sleeps, returns the reader with the slot of the caller that is to have it.
    pub(crate) fn pass_on(&mut self, reader: Reader) -> Option<(Arc<AnswerSlot>, Reader)> {
        if self.end.is_some() {
            return None;
        }
        let Some((request, ())) = self.asleep.pop_first() else {
            self.reader = Some(reader);
            return None;
        };
        let slot = self.slots.get(request).expect("a caller that sleeps has a slot");
        Some((Arc::clone(slot), reader))
    }

    /// Notes why the connection is over, and returns the slots of all callers that must learn of it.
    pub(crate) fn end_with(&mut self, error: &Error) -> Vec<Arc<AnswerSlot>> {
        self.end.get_or_insert_with(|| error.clone());
        self.asleep = ById::new();
        std::mem::replace(&mut self.slots, ById::new()).into_values().collect()
    }

    /// Why the connection is over, if it is.
    pub(crate) fn end(&self) -> Option<&Error> {
        self.end.as_ref()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.0.is_empty()
    }
}

/// Values by the ids of their requests, in the order of these.
///
/// Ids grow, so nearly all are appended, and most that are answered are the first or the last: that of the caller that
/// has just asked, or those of a crowd that is answered in the order in which it asked. Both are found at once, and
/// others by halving.
#[derive(Debug)]
struct ById<T>(VecDeque<(RequestId, T)>);

impl<T> ById<T> {
    fn new() -> ById<T> {
        ById(VecDeque::new())
    }

    fn position(&self, request: RequestId) -> std::result::Result<usize, usize> {
        self.0.binary_search_by_key(&request, |(other, _)| *other)
    }

    fn insert(&mut self, request: RequestId, value: T) {
        let is_last = self.0.back().is_none_or(|(last, _)| *last < request);
        let position = if is_last { self.0.len() } else { self.position(request).unwrap_or_else(|at| at) };
        self.0.insert(position, (request, value));
    }

    fn contains(&self, request: RequestId) -> bool {
        self.position(request).is_ok()
    }

    fn get(&self, request: RequestId) -> Option<&T> {
        self.position(request).ok().map(|position| &self.0[position].1)
    }

    fn remove(&mut self, request: RequestId) -> Option<T> {
        let position = self.position(request).ok()?;
        self.0.remove(position).map(|(_, value)| value)
    }

    fn pop_first(&mut self) -> Option<(RequestId, T)> {
        self.0.pop_front()
    }

    fn into_values(self) -> impl Iterator<Item = T> {
        self.0.into_iter().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_ids_in_whichever_order_they_come_and_go() {
        let mut values = ById::new();
        for id in [5, 1, 9, 3, 7] {
            values.insert(RequestId(id), id * 10);
        }
        assert!(values.contains(RequestId(3)) && !values.contains(RequestId(4)));
        assert_eq!(values.get(RequestId(9)), Some(&90));
        assert_eq!(values.remove(RequestId(5)), Some(50));
        assert_eq!(values.remove(RequestId(5)), None);
        assert_eq!(values.pop_first(), Some((RequestId(1), 10)));
        assert_eq!(values.into_values().collect::<Vec<_>>(), [30, 70, 90]);
    }
}

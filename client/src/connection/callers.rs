//! Everyone who waits for something of one connection, and the reader's office while nobody has it.

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::RequestId;

use crate::connection::answer_slot::Seat;
use crate::connection::reader::Reader;
use crate::{Error, Result};

/// Everyone who waits for something, and the reader's office while nobody has it.
#[derive(Debug)]
pub(crate) struct Callers {
    /// The seats of all requests that are to be answered.
    seats: ById<Arc<Seat>>,
    /// Those whose callers sleep, any of whom can become the reader.
    asleep: ById<()>,
    /// The office, when nobody has it. It ends with the connection.
    reader: Option<Reader>,
    /// Why the connection is over.
    end: Option<Error>,
}

impl Callers {
    pub(crate) fn new(reader: Reader) -> Callers {
        Callers { seats: ById::new(), asleep: ById::new(), reader: Some(reader), end: None }
    }

    /// Takes a seat for a request.
    pub(crate) fn enter(&mut self, request: RequestId, seat: &Arc<Seat>) -> Result<()> {
        if let Some(end) = &self.end {
            return Err(end.clone());
        }
        self.seats.insert(request, Arc::clone(seat));
        Ok(())
    }

    /// Gives up the seat of a request.
    pub(crate) fn leave(&mut self, request: RequestId) -> Option<Arc<Seat>> {
        self.asleep.remove(request);
        self.seats.remove(request)
    }

    /// Decides how this caller waits: as the reader, or asleep if there is one.
    pub(crate) fn wait_or_read(&mut self, request: RequestId) -> Option<Reader> {
        // If its answer has come, it is not to become the reader.
        if !self.seats.contains(request) {
            return None;
        }
        let office = self.reader.take();
        if office.is_none() {
            self.asleep.insert(request, ());
        }
        office
    }

    /// The office, if nobody has it.
    pub(crate) fn take_office(&mut self) -> Option<Reader> {
        self.reader.take()
    }

    /// Takes back the office. If somebody sleeps it is returned, with the seat of the one who is to have it.
    pub(crate) fn pass_on(&mut self, reader: Reader) -> Option<(Arc<Seat>, Reader)> {
        if self.end.is_some() {
            return None;
        }
        let Some((request, ())) = self.asleep.pop_first() else {
            self.reader = Some(reader);
            return None;
        };
        let seat = self.seats.get(request).expect("who sleeps has a seat");
        Some((Arc::clone(seat), reader))
    }

    /// Notes why the connection is over, and returns the seats of all who must be told.
    pub(crate) fn end_with(&mut self, error: &Error) -> Vec<Arc<Seat>> {
        self.end.get_or_insert_with(|| error.clone());
        self.asleep = ById::new();
        std::mem::replace(&mut self.seats, ById::new()).into_values().collect()
    }

    /// Why the connection is over, if it is.
    pub(crate) fn end(&self) -> Option<&Error> {
        self.end.as_ref()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.seats.0.is_empty()
    }
}

/// Values by the ids of their requests, in the order of these.
///
/// Ids grow, so nearly all come to the end, and most that are answered are the first or the last: those who have just
/// asked, or a crowd that was asked for in that order. Both are found at once, and others are found by halving.
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

//! A map of values by the ids of their requests, in the order of the ids.

use alloc::collections::VecDeque;

use protocol::RequestId;

/// A map of values by the ids of their requests, in the order of the ids. Ids grow, so nearly all are inserted at the
/// end. Most of those that are removed are the first or the last: those of callers that have just asked, or of a crowd
/// that asked in that order. A binary search finds the others.
#[derive(Debug)]
pub struct RequestMap<T>(VecDeque<(RequestId, T)>);

impl<T> RequestMap<T> {
    /// A map without values. It reserves nothing yet.
    pub const fn new() -> RequestMap<T> {
        RequestMap(VecDeque::new())
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the value of a request that has none yet.
    pub fn insert(&mut self, request: RequestId, value: T) {
        let is_last = self.0.back().is_none_or(|(last, _)| *last < request);
        let position = if is_last { self.0.len() } else { self.position(request).unwrap_or_else(|at| at) };
        self.0.insert(position, (request, value));
    }

    /// Whether a request has a value.
    pub fn contains(&self, request: RequestId) -> bool {
        self.position(request).is_ok()
    }

    /// The value of a request.
    pub fn get(&self, request: RequestId) -> Option<&T> {
        self.position(request).ok().map(|position| &self.0[position].1)
    }

    /// Takes the value of a request out.
    pub fn remove(&mut self, request: RequestId) -> Option<T> {
        let position = self.position(request).ok()?;
        self.0.remove(position).map(|(_, value)| value)
    }

    /// Takes out the value of the oldest request.
    pub fn pop_first(&mut self) -> Option<(RequestId, T)> {
        self.0.pop_front()
    }

    fn position(&self, request: RequestId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&request, |(other, _)| *other)
    }
}

impl<T> Default for RequestMap<T> {
    fn default() -> RequestMap<T> {
        RequestMap::new()
    }
}

/// The values in the order of their requests.
impl<T> IntoIterator for RequestMap<T> {
    type Item = (RequestId, T);
    type IntoIter = alloc::collections::vec_deque::IntoIter<(RequestId, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn values_are_found_by_their_ids_in_whichever_order_they_come_and_go() {
        let mut values = RequestMap::new();
        for id in [5, 1, 9, 3, 7] {
            values.insert(RequestId(id), id * 10);
        }
        assert!(values.contains(RequestId(3)) && !values.contains(RequestId(4)));
        assert_eq!(values.get(RequestId(9)), Some(&90));
        assert_eq!(values.remove(RequestId(5)), Some(50));
        assert_eq!(values.remove(RequestId(5)), None);
        assert_eq!(values.pop_first(), Some((RequestId(1), 10)));
        assert_eq!(values.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), [30, 70, 90]);
    }
}

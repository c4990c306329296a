//! A queue whose entries have tickets, as in a shop: earlier tickets come first.

use alloc::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// The number of the input that something follows from. What follows from earlier inputs is done first, so nobody has
/// to wait for what others ask for later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Ticket(u64);

/// Things to do, in the order of their tickets, and with the same ticket in the order in which they came.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TicketQueue<T> {
    entries: VecDeque<(Ticket, T)>,
}

impl Ticket {
    /// Later than all.
    pub(crate) const NEVER: Ticket = Ticket(u64::MAX);

    pub(crate) fn next(self) -> Ticket {
        Ticket(self.0 + 1)
    }
}

impl<T> Default for TicketQueue<T> {
    fn default() -> TicketQueue<T> {
        TicketQueue { entries: VecDeque::new() }
    }
}

impl<T> TicketQueue<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The ticket of the first entry, or one later than all.
    #[inline]
    pub(crate) fn ticket(&self) -> Ticket {
        self.entries.front().map_or(Ticket::NEVER, |(ticket, _)| *ticket)
    }

    pub(crate) fn first_mut(&mut self) -> Option<&mut T> {
        self.entries.front_mut().map(|(_, entry)| entry)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    pub(crate) fn push(&mut self, ticket: Ticket, entry: T) {
        if self.entries.back().is_none_or(|(last, _)| *last <= ticket) {
            return self.entries.push_back((ticket, entry));
        }
        let place = self.entries.partition_point(|(other, _)| *other <= ticket);
        self.entries.insert(place, (ticket, entry));
    }

    pub(crate) fn pop(&mut self) -> Option<(Ticket, T)> {
        self.entries.pop_front()
    }

    /// Takes out the first entry if it has this ticket.
    pub(crate) fn pop_of(&mut self, ticket: Ticket) -> Option<T> {
        if self.ticket() != ticket {
            return None;
        }
        self.entries.pop_front().map(|(_, entry)| entry)
    }

    /// Adds all of another.
    pub(crate) fn append(&mut self, other: TicketQueue<T>) {
        other.entries.into_iter().for_each(|(ticket, entry)| self.push(ticket, entry));
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{Ticket, TicketQueue};

    #[test]
    fn earlier_tickets_come_first_and_entries_of_one_in_their_order() {
        let mut queue = TicketQueue::default();
        for (ticket, entry) in [(3, 'a'), (1, 'b'), (3, 'c'), (2, 'd'), (1, 'e')] {
            queue.push(Ticket(ticket), entry);
        }
        assert_eq!(queue.pop_of(Ticket(2)), None);
        assert_eq!(queue.pop_of(Ticket(1)), Some('b'));
        assert_eq!(queue.ticket(), Ticket(1));
        assert_eq!(queue.iter().collect::<Vec<_>>(), [&'e', &'d', &'a', &'c']);
    }
}

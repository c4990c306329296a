//! The table of connections: each has a slot for its life, and at most one deadline.

use std::collections::BTreeSet;

use manager_core::Time;

use super::connection::PeerConnection;

/// The place of a connection in the table. Another connection may get it once this one is removed.
pub(crate) type ConnectionSlot = usize;

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct ConnectionTable {
    /// The connections, by slot.
    slots: Vec<Option<PeerConnection>>,
    /// The slots without a connection.
    free: Vec<ConnectionSlot>,
    /// The deadlines of all connections that have one.
    deadlines: BTreeSet<(Time, ConnectionSlot)>,
}

impl ConnectionTable {
    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Gives a connection a slot.
    pub(crate) fn insert(&mut self, connection: PeerConnection) -> ConnectionSlot {
        assert!(connection.deadline.is_none(), "deadlines are set through the table");
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = Some(connection);
                slot
            }
            None => {
                self.slots.push(Some(connection));
                self.slots.len() - 1
            }
        }
    }

    /// The connection in this slot, if it is still there.
    pub(crate) fn get_mut(&mut self, slot: ConnectionSlot) -> Option<&mut PeerConnection> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// All connections, with their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnectionSlot, &PeerConnection)> {
        (0..).zip(&self.slots).filter_map(|(slot, connection)| Some((slot, connection.as_ref()?)))
    }

    /// Takes a connection out. Its slot is free at once.
    pub(crate) fn remove(&mut self, slot: ConnectionSlot) -> Option<PeerConnection> {
        self.set_deadline(slot, None);
        let connection = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        Some(connection)
    }

    /// Sets or clears the deadline of a connection.
    pub(crate) fn set_deadline(&mut self, slot: ConnectionSlot, deadline: Option<Time>) {
        let Some(connection) = self.slots.get_mut(slot).and_then(Option::as_mut) else { return };
        if let Some(before) = connection.deadline.take() {
            self.deadlines.remove(&(before, slot));
        }
        if let Some(deadline) = deadline {
            connection.deadline = Some(deadline);
            self.deadlines.insert((deadline, slot));
        }
    }

    /// The nearest deadline.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// A connection whose deadline has come; the deadline is then cleared.
    pub(crate) fn pop_expired(&mut self, now: Time) -> Option<ConnectionSlot> {
        let &(deadline, slot) = self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.set_deadline(slot, None);
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn connection() -> PeerConnection {
        PeerConnection::new(UnixStream::pair().unwrap().0.into(), None, None)
    }

    fn at(nanoseconds: u64) -> Time {
        Time::from_nanoseconds(nanoseconds)
    }

    #[test]
    fn slots_are_used_again() {
        let mut table = ConnectionTable::default();
        let slots = [(); 3].map(|()| table.insert(connection()));
        assert_eq!(table.len(), 3);
        assert!(table.remove(slots[1]).is_some());
        assert!(table.remove(slots[1]).is_none());
        assert!(table.get_mut(slots[1]).is_none());
        assert_eq!(table.len(), 2);
        assert_eq!(table.insert(connection()), slots[1]);
        assert!(table.remove(17).is_none());
    }

    #[test]
    fn deadlines_come_in_order_and_go_with_their_connection() {
        let mut table = ConnectionTable::default();
        let slots = [(); 4].map(|()| table.insert(connection()));
        for (slot, nanoseconds) in slots.into_iter().zip([40, 30, 20, 10]) {
            table.set_deadline(slot, Some(at(nanoseconds)));
        }
        table.set_deadline(slots[3], Some(at(35)));
        table.remove(slots[2]);
        assert_eq!(table.next_deadline(), Some(at(30)));
        assert_eq!(table.pop_expired(at(29)), None);
        assert_eq!(table.pop_expired(at(35)), Some(slots[1]));
        assert_eq!(table.pop_expired(at(35)), Some(slots[3]));
        assert_eq!(table.pop_expired(at(35)), None);
        table.set_deadline(slots[0], None);
        assert_eq!(table.next_deadline(), None);
    }
}

//! The memory of all buffers together: frames that have arrived in part, and answers that were not read.
//!
//! Each connection is limited on its own (`FRAME_BYTES_MAX`, `output_bytes_max`); this limits what they take together.
//! If that is too much, connections are cut off until it is not, and the one that holds most up goes first: that which
//! has kept the most bytes for the longest time without a move. A client that reads what it asked for, and sends whole
//! frames, is not among them, however much it moves.
//!
//! Not reading from such clients instead would not do: most of what they leave unread, others may cause, by setting an
//! event for which they wait. And what they hold would be kept from everybody for as long as they like.

use protocol::{Code, Refusal};

use super::Server;
use super::coarse_time::CoarseTime;
use super::connection::{PeerConnection, Phase};
use super::connection_table::ConnectionSlot;

/// How much memory a session takes in which it defers releases: a page.
const DEFERRED_BYTES: usize = 4096;

/// What part of the memory for all clients may be free and not given back to the system.
const FREED_PART: usize = 8;

impl Server {
    /// Changes a connection, and notes how that changes the memory of its buffers.
    #[inline]
    pub(super) fn change<T>(
        &mut self,
        slot: ConnectionSlot,
        change: impl FnOnce(&mut PeerConnection) -> T,
    ) -> Option<T> {
        let connection = self.table.get_mut(slot)?;
        let before = connection.buffered();
        let result = change(connection);
        let after = connection.buffered();
        if before == 0 && after > 0 {
            connection.moved_at = self.moment;
        }
        self.buffered = self.buffered - before + after;
        Some(result)
    }

    /// Cuts connections off until the buffers of all together take no more than they may.
    #[inline]
    pub(super) fn limit_buffers(&mut self) {
        if self.has_too_much_buffered() {
            self.free_buffers();
        }
    }

    /// Gives the system what was freed once it is much: the allocator keeps it otherwise, and the next client that
    /// takes memory in pieces of another size finds no use for it.
    #[inline]
    pub(super) fn give_back_freed(&mut self) {
        let held = self.core.charged_bytes() + self.buffered;
        if held > self.held_most {
            self.held_most = held;
        } else if self.held_most - held > self.limits.memory_bytes_max / FREED_PART {
            self.held_most = held;
            sys::heap::give_back_freed();
        }
    }

    /// Whether there is room for the memory of one more session that defers releases. Half of the room is for buffers.
    pub(super) fn has_room_to_defer(&self) -> bool {
        (self.deferred.len() + 1) * DEFERRED_BYTES <= self.limits.buffer_bytes_max() / 2
    }

    fn has_too_much_buffered(&self) -> bool {
        self.buffered + self.deferred.len() * DEFERRED_BYTES > self.limits.buffer_bytes_max()
    }

    #[cold]
    fn free_buffers(&mut self) {
        // Perhaps all read well, and only this turn brought too much.
        while self.has_too_much_buffered()
            && let Some(slot) = self.to_flush.pop_front()
        {
            self.flush(slot);
        }
        while self.has_too_much_buffered() {
            let burdens = self.table.iter().map(|(slot, connection)| (connection.burden(self.moment), slot));
            let Some((1.., slot)) = burdens.max() else { return };
            if self.table.get_mut(slot).is_none_or(|connection| connection.phase == Phase::FinalRefusal) {
                // It had its chance to read the refusal.
                self.close(slot);
                continue;
            }
            self.change(slot, |connection| connection.output.keep_begun_frame());
            let text = format!(
                "of the {} bytes for all that is on its way, too much is what this client has sent in part or not \
                 read; the connection is closed; read answers as they come, or give the manager more memory",
                self.limits.buffer_bytes_max()
            );
            self.refuse(slot, Refusal::new(Code::LimitReached, text));
        }
    }
}

impl PeerConnection {
    /// How much it holds up others: bytes, times how long they have not moved.
    fn burden(&self, now: CoarseTime) -> u64 {
        self.buffered() as u64 * (1 + u64::from(self.moved_at.age(now)))
    }
}

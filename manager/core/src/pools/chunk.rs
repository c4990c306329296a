//! Chunks: consecutive calls of a batch that have not begun, with their arguments.
//!
//! A chunk is what an owner sends, what a grant takes from its front, or what comes back from a worker. It owns the
//! bytes of its arguments; what a grant takes out of the middle is copied.

use alloc::vec::Vec;
use core::ops::Range;

use protocol::{BlobId, Payload, calls};
use serde::{Deserialize, Serialize};

use crate::store::blob::Content;
use crate::store::long_queue::LongQueue;

/// Consecutive calls that have not begun.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WaitingChunk {
    /// Of one call, if they are a blob.
    arguments: Content,
    /// The number of the first.
    pub(crate) first: u64,
    pub(crate) calls: u32,
    /// How often they were begun before.
    pub(crate) retry: u32,
    /// Where the arguments of the first begin.
    offset: u32,
}

/// The chunks of a batch, in the order in which their calls begin.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct WaitingCalls {
    chunks: LongQueue<WaitingChunk>,
    /// How many calls they have together.
    calls: u64,
}

impl WaitingChunk {
    /// A chunk whose arguments were checked to be those of this many calls.
    pub(crate) fn new(first: u64, calls: u32, retry: u32, arguments: Content) -> WaitingChunk {
        WaitingChunk { arguments, first, calls, retry, offset: 0 }
    }

    /// The number after that of the last call.
    pub(crate) fn end(&self) -> u64 {
        self.first + u64::from(self.calls)
    }

    /// The bytes that it keeps.
    pub(crate) fn stored_bytes(&self) -> usize {
        self.arguments.stored_bytes()
    }

    /// The blob that its arguments are, if they are one.
    pub(crate) fn blob(&self) -> Option<BlobId> {
        self.arguments.blob()
    }

    /// The arguments of all of its calls.
    pub(crate) fn into_arguments(self) -> Content {
        let offset = self.offset as usize;
        part(&self.arguments, offset..self.stored_bytes())
    }

    /// Cuts off the calls from this one on.
    pub(crate) fn split_off(&mut self, number: u64) -> Option<WaitingChunk> {
        let before = number.saturating_sub(self.first);
        if before >= u64::from(self.calls) {
            return None;
        }
        let kept = before as u32;
        let behind = self.calls - kept;
        let offset = self.offset as usize;
        if let Content::Blob(blob) = self.arguments {
            // It has one call, which goes.
            self.calls = kept;
            self.arguments = Content::nothing();
            return Some(WaitingChunk::new(self.first, behind, self.retry, Content::Blob(blob)));
        }
        let rest = &self.arguments.bytes()[offset..];
        let (kept_bytes, _) = calls::split(rest, before).expect("the calls were counted when they came");
        let middle = offset + kept_bytes.len();
        let rest = WaitingChunk::new(
            self.first + before,
            behind,
            self.retry,
            part(&self.arguments, middle..self.stored_bytes()),
        );
        self.arguments = part(&self.arguments, offset..middle);
        (self.offset, self.calls) = (0, kept);
        Some(rest)
    }

    /// How many of its first calls these limits allow, and the bytes of their arguments.
    fn front(&self, calls_max: u32, bytes_max: usize) -> (u32, usize) {
        let rest = &self.arguments.bytes()[self.offset as usize..];
        if self.calls <= calls_max && rest.len() <= bytes_max {
            return (self.calls, rest.len());
        }
        let (mut count, mut bytes, mut behind) = (0, 0, rest);
        while count < calls_max.min(self.calls) {
            calls::take_first(&mut behind).expect("the calls were counted when they came");
            if rest.len() - behind.len() > bytes_max {
                break;
            }
            bytes = rest.len() - behind.len();
            count += 1;
        }
        (count, bytes)
    }

    /// The first bytes of its arguments.
    fn front_arguments(&self, bytes: usize) -> Range<usize> {
        let offset = self.offset as usize;
        offset..offset + bytes
    }
}

impl WaitingCalls {
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// How many calls wait.
    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    /// Adds calls that come last.
    pub(crate) fn push_back(&mut self, chunk: WaitingChunk) {
        self.calls += u64::from(chunk.calls);
        self.chunks.push_back(chunk);
    }

    /// Adds calls that come first.
    pub(crate) fn push_front(&mut self, chunk: WaitingChunk) {
        self.calls += u64::from(chunk.calls);
        self.chunks.push_front(chunk);
    }

    /// Takes the calls that come first, one at least: as many as these limits allow, of one chunk unless it `joins`
    /// several whose calls follow one another. Also returns how many bytes are no longer kept here.
    pub(crate) fn take(&mut self, calls_max: u32, bytes_max: usize, joins: bool) -> (WaitingChunk, usize) {
        let front = self.chunks.front().expect("a startable batch has calls that wait");
        let (calls, bytes) = match front.front(calls_max, bytes_max) {
            // The arguments of the first call alone are over the limit.
            (0, _) => front.front(1, usize::MAX),
            fitting => fitting,
        };
        let arguments = part(&front.arguments, front.front_arguments(bytes));
        let mut taken = WaitingChunk::new(front.first, calls, front.retry, arguments);
        let mut freed = self.skip(calls, bytes);
        if joins {
            freed += self.join(&mut taken, calls_max, bytes_max);
        }
        (taken, freed)
    }

    /// Takes further calls that follow those taken, as many as these limits allow. Returns how many bytes are no longer
    /// kept here.
    fn join(&mut self, taken: &mut WaitingChunk, calls_max: u32, bytes_max: usize) -> usize {
        let (mut joined, mut freed) = (Vec::new(), 0);
        while taken.calls < calls_max
            && taken.blob().is_none()
            && let Some(next) = self.chunks.front()
            && (next.first, next.retry, next.blob()) == (taken.end(), taken.retry, None)
        {
            if joined.is_empty() {
                // Neighbours are alike as a rule.
                let alike = taken.stored_bytes().saturating_mul((calls_max / taken.calls) as usize);
                joined.reserve(alike.min(bytes_max));
                joined.extend_from_slice(taken.arguments.bytes());
            }
            let (calls, bytes) = next.front(calls_max - taken.calls, bytes_max.saturating_sub(joined.len()));
            if calls == 0 {
                break;
            }
            joined.extend_from_slice(&next.arguments.bytes()[next.front_arguments(bytes)]);
            taken.calls += calls;
            freed += self.skip(calls, bytes);
        }
        if !joined.is_empty() {
            taken.arguments = Content::Bytes(Payload::from(joined.as_slice()));
        }
        freed
    }

    /// Leaves out the first calls of the first chunk, whose arguments have this many bytes. Returns how many bytes are
    /// no longer kept here.
    fn skip(&mut self, calls: u32, bytes: usize) -> usize {
        self.calls -= u64::from(calls);
        let front = self.chunks.front_mut().expect("the caller looked at it");
        if calls == front.calls {
            let freed = front.stored_bytes();
            self.chunks.pop_front();
            return freed;
        }
        front.first += u64::from(calls);
        front.calls -= calls;
        front.offset += bytes as u32;
        0
    }

    /// Takes the first chunk.
    pub(crate) fn pop_front(&mut self) -> Option<WaitingChunk> {
        let chunk = self.chunks.pop_front()?;
        self.calls -= u64::from(chunk.calls);
        Some(chunk)
    }
}

/// A part of arguments, which is copied only if it is not the whole.
fn part(arguments: &Content, range: Range<usize>) -> Content {
    match arguments {
        Content::Bytes(payload) if range.len() < payload.as_bytes().len() => {
            Content::Bytes(Payload::from(&payload.as_bytes()[range]))
        }
        whole => whole.same(),
    }
}

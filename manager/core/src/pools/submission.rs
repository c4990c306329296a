//! What a submission has to fulfill: the limits of chunks, calls and bytes.

use alloc::format;

use protocol::limits::{
    CALLS_PER_CHUNK_MAX, CALLS_PER_REQUEST_MAX, CARRIES_MAX, CARRIES_PER_REQUEST_MAX, CHUNKS_PER_REQUEST_MAX,
    PAYLOAD_BYTES_MAX,
};
use protocol::{Chunk, Code, Refusal, calls};

use crate::State;
use crate::store::memory::{CALL_BYTES, CARRIED_BYTES, CARRIES_BYTES};

impl State {
    /// Whether there is room for these chunks, and each is what it says.
    pub(crate) fn check_room_to_store(&self, chunks: &[Chunk<'_>]) -> Result<(), Refusal> {
        let (calls_and_items_max, bytes_max) =
            (self.limits.calls_and_items_max, self.limits.stored_bytes_max);
        let bytes: usize = chunks.iter().map(|chunk| chunk.arguments.len()).sum();
        let count: usize = chunks.iter().map(|chunk| chunk.calls as usize).sum();
        let carries: usize = chunks.iter().map(|chunk| chunk.carries.len()).sum();
        let text = if chunks.len() > CHUNKS_PER_REQUEST_MAX {
            format!("a request adds at most {CHUNKS_PER_REQUEST_MAX} chunks, and this one has more")
        } else if chunks.iter().any(|chunk| chunk.calls as usize > CALLS_PER_CHUNK_MAX) {
            format!("a chunk has at most {CALLS_PER_CHUNK_MAX} calls")
        } else if count > CALLS_PER_REQUEST_MAX {
            format!("a request adds at most {CALLS_PER_REQUEST_MAX} calls, this one {count}")
        } else if chunks.iter().any(|chunk| chunk.carries.len() > CARRIES_MAX) {
            return Err(too_many_carried());
        } else if carries > CARRIES_PER_REQUEST_MAX {
            format!(
                "a request carries at most {CARRIES_PER_REQUEST_MAX} proxies in all of its chunks, this one \
                 {carries}; add the chunks in several requests"
            )
        } else if self.stored_calls_and_items + count > calls_and_items_max {
            return Err(self.too_many_calls());
        } else if self.stored_bytes + bytes > bytes_max {
            format!(
                "the manager stores {} of at most {bytes_max} bytes for calls and items",
                self.stored_bytes
            )
        } else if chunks.iter().any(|chunk| chunk.arguments.len() > PAYLOAD_BYTES_MAX) {
            format!("the arguments of a chunk have at most {PAYLOAD_BYTES_MAX} bytes")
        } else if !chunks.iter().all(has_its_calls) {
            let text = "a chunk has one call at least, and as many arguments as calls, each with its length";
            return Err(Refusal::new(Code::BadArgument, text));
        } else {
            return self.check_memory(chunks_bytes(chunks));
        };
        Err(Refusal::new(Code::LimitReached, text))
    }

    /// Whether there is room for one call whose arguments are a blob, which has room for its bytes.
    pub(crate) fn check_room_for_blob_call(&self, carries: usize) -> Result<(), Refusal> {
        if carries > CARRIES_MAX {
            return Err(too_many_carried());
        }
        if self.stored_calls_and_items >= self.limits.calls_and_items_max {
            return Err(self.too_many_calls());
        }
        self.check_memory(CALL_BYTES + carries_bytes(carries))
    }

    fn too_many_calls(&self) -> Refusal {
        let (stored, calls_and_items_max) = (self.stored_calls_and_items, self.limits.calls_and_items_max);
        let text = format!("the manager holds {stored} of at most {calls_and_items_max} calls and items");
        Refusal::new(Code::LimitReached, text)
    }
}

fn too_many_carried() -> Refusal {
    let text = format!("the arguments of a chunk carry at most {CARRIES_MAX} proxies");
    Refusal::new(Code::LimitReached, text)
}

/// Whether the arguments of a chunk are those of its calls.
fn has_its_calls(chunk: &Chunk<'_>) -> bool {
    chunk.calls > 0 && calls::fit(chunk.arguments, chunk.calls.into())
}

/// How much memory chunks take.
pub(crate) fn chunks_bytes(chunks: &[Chunk<'_>]) -> usize {
    let chunk_bytes = |chunk: &Chunk<'_>| {
        CALL_BYTES * chunk.calls as usize + chunk.arguments.len() + carries_bytes(chunk.carries.len())
    };
    chunks.iter().map(chunk_bytes).sum()
}

/// How much memory the objects take that a chunk carries.
pub(crate) fn carries_bytes(carries: usize) -> usize {
    if carries == 0 { 0 } else { CARRIES_BYTES + CARRIED_BYTES * carries }
}

//! Calls whose arguments are blobs: how they are added, and what becomes of the blob when they have ended.

use protocol::{BlobId, ObjectId, Outcome, Refusal, Reply, SessionId};

use crate::State;
use crate::pools::calls::Running;
use crate::pools::chunk::WaitingChunk;
use crate::store::blob::Content;
use crate::store::slab::Key;

impl State {
    /// Adds one call, whose arguments are a blob.
    pub(crate) fn batch_add_blob(
        &mut self,
        session: SessionId,
        id: ObjectId,
        blob: BlobId,
        carries: &[ObjectId],
    ) -> Result<Reply, Refusal> {
        let key = self.check_may_add(session, id)?;
        self.check_blob(session, blob)?;
        self.check_room_for_blob_call(carries.len())?;
        self.blob_keep(blob);
        self.batch_add_calls(key, 1, Content::Blob(blob), carries);
        self.batch_added(key);
        Ok(Reply::Done)
    }

    /// Lets go of the arguments of a range that has ended, if they are a blob.
    pub(crate) fn drop_arguments(&mut self, running: &Running) {
        if let Some(blob) = running.arguments.blob() {
            self.blob_release(blob, 1);
        }
    }

    /// Ends calls that will not run, or not again.
    pub(crate) fn end_chunk(&mut self, key: Key, chunk: &WaitingChunk, outcome: Outcome) {
        self.end(key, chunk.first, chunk.calls, outcome);
        if let Some(blob) = chunk.blob() {
            self.blob_release(blob, 1);
        }
    }
}

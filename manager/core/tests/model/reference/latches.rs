//! Latches ("Latches").

use protocol::{ObjectId, Reply};

use super::{Model, ModelAnswer};

pub(crate) struct Latch {
    pub(crate) count_at_first: u64,
    pub(crate) count: u64,
}

impl Model {
    pub(crate) fn latch_count_down(&mut self, id: ObjectId, by: u64) -> ModelAnswer {
        let latch = self.latch(id)?;
        latch.count = latch.count.saturating_sub(by);
        Ok(Reply::Count(latch.count))
    }
}

//! Orders about the objects at which processes meet: queues, barriers and latches.

use std::panic::resume_unwind;
use std::thread;

use client::{Barrier, Latch, Passed, Queue, Result};

use super::{ClientProcess, failure};
use crate::support::remote_client::{BarrierAction, BarrierOrder, ClientReport, LatchOrder, QueueOrder};

impl ClientProcess {
    pub(super) fn follow_queue(&mut self, order: QueueOrder) -> Result<ClientReport> {
        match order {
            QueueOrder::Use(queue) => self.queue = Some(queue),
            QueueOrder::Put(item) => self.queue().put(&item)?,
            QueueOrder::PutTimeout(item, time) => {
                return self.queue().put_timeout(&item, time).map(ClientReport::Flag);
            }
            QueueOrder::Get => return self.queue().get().map(|item| ClientReport::Item(Some(item))),
            QueueOrder::GetTimeout(time) => return self.queue().get_timeout(time).map(ClientReport::Item),
            QueueOrder::GetPair(queue) => {
                let (first, second) = &*self.pair.insert(queue.get()?);
                first.set()?;
                second.set()?;
            }
            QueueOrder::Drain => return self.queue().iter().collect::<Result<_>>().map(ClientReport::Items),
            QueueOrder::TaskDone => self.queue().task_done()?,
            QueueOrder::GetAndFinishInThread => {
                let get = || self.queue().get().and_then(|item| self.queue().task_done().map(|()| item));
                let item = thread::scope(|scope| scope.spawn(get).join().unwrap());
                return item.map(|item| ClientReport::Item(Some(item)));
            }
            QueueOrder::Join => return self.queue().join(None).map(ClientReport::Flag),
        }
        Ok(ClientReport::Done)
    }

    pub(super) fn follow_barrier(&mut self, order: BarrierOrder) -> Result<ClientReport> {
        match order {
            BarrierOrder::Use(barrier) => self.barrier = Some(barrier),
            BarrierOrder::Pass(timeout) => return self.barrier().wait(timeout).map(passed),
            BarrierOrder::PassWith(action) => {
                return self.barrier().wait_with(None, || self.act(action)).map(passed);
            }
            BarrierOrder::Abort(reason) => self.barrier().abort(&reason)?,
        }
        Ok(ClientReport::Done)
    }

    pub(super) fn follow_latch(&mut self, order: LatchOrder) -> Result<ClientReport> {
        match order {
            LatchOrder::Use(latch) => self.latch = Some(latch),
            LatchOrder::CountDown(count) => return self.latch().count_down_by(count).map(ClientReport::Left),
            LatchOrder::Open(timeout) => return self.latch().wait(timeout).map(ClientReport::Flag),
            LatchOrder::CountDownAndOpen => {
                return self.latch().count_down_and_wait(None).map(ClientReport::Flag);
            }
        }
        Ok(ClientReport::Done)
    }

    fn act(&self, action: BarrierAction) -> Result<()> {
        match action {
            BarrierAction::CountDown => self.latch().count_down().map(drop),
            BarrierAction::Fail(text) => Err(failure(text)),
            // This panics without printing a message.
            BarrierAction::Panic(text) => resume_unwind(Box::new(text)),
            BarrierAction::Hold(runs, end) => {
                runs.set()?;
                end.wait(None).map(drop)
            }
        }
    }

    fn queue(&self) -> &Queue<u64> {
        self.queue.as_ref().expect("it was given a queue")
    }

    fn barrier(&self) -> &Barrier {
        self.barrier.as_ref().expect("it was given a barrier")
    }

    fn latch(&self) -> &Latch {
        self.latch.as_ref().expect("it was given a latch")
    }
}

fn passed(passed: Passed) -> ClientReport {
    ClientReport::Passed { index: passed.index, leads: passed.leads }
}

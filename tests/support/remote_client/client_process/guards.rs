//! Orders about what a client holds: locks, conditions and semaphores.

use client::{
    Condition, Event, Lock, LockGuard, Permit, Result, Taken, Waitable, WokenBy, wait_all, wait_any,
};

use super::{ClientProcess, failure};
use crate::support::PATIENCE;
use crate::support::remote_client::{ClientReport, ConditionOrder, HeldGrant, LockOrder, SemaphoreOrder};

impl ClientProcess {
    pub(super) fn follow_lock(&mut self, order: LockOrder) -> Result<ClientReport> {
        match order {
            LockOrder::Acquire(lock, None) => return Ok(self.guard(lock.acquire().map(Some)?)),
            LockOrder::Acquire(lock, Some(timeout)) => {
                return Ok(self.guard(lock.acquire_timeout(timeout)?));
            }
            LockOrder::AcquireAgain(lock, None) => return Ok(self.guard(lock.acquire().map(Some)?)),
            LockOrder::AcquireAgain(lock, Some(timeout)) => {
                return Ok(self.guard(lock.acquire_timeout(timeout)?));
            }
            LockOrder::AcquireUnless(lock, event) => {
                let (_, taken) = wait_any(&[&event, &lock], None)?.expect("there is no timeout");
                return Ok(self.taken(taken));
            }
            LockOrder::AcquireAll(locks) => return self.acquire_all(&locks),
            LockOrder::Drop => drop(self.pop()),
            LockOrder::Release => self.pop().release()?,
            LockOrder::ReleaseAndWait(event) => {
                let taken = self.pop().release_and_wait(&event, None)?;
                return Ok(if let Some(Taken::Event(_)) = taken {
                    ClientReport::Set
                } else {
                    ClientReport::Done
                });
            }
            LockOrder::Keep => self.pop().keep(),
            LockOrder::ReleaseKept(lock) => lock.release()?,
            LockOrder::ForceRelease(lock) => lock.force_release()?,
            LockOrder::ForceReleaseAgain(lock) => lock.force_release()?,
            LockOrder::IsHeld => return Ok(ClientReport::Flag(self.top().is_held())),
            LockOrder::Count { lock, file, rounds } => count(&lock, &file, rounds)?,
        }
        Ok(ClientReport::Done)
    }

    pub(super) fn follow_condition(&mut self, order: ConditionOrder) -> Result<ClientReport> {
        match order {
            ConditionOrder::Enter(condition) => return Ok(self.guard(condition.acquire().map(Some)?)),
            ConditionOrder::Wait(condition, timeout) => {
                let is_notified = condition.wait(self.top(), timeout)?;
                return Ok(if is_notified { self.notified() } else { self.timed_out() });
            }
            ConditionOrder::WaitFor(condition, event, timeout) => {
                return condition.wait_for(self.top(), timeout, || event.is_set()).map(ClientReport::Flag);
            }
            ConditionOrder::WaitOr(condition, event, timeout) => {
                return Ok(match condition.wait_or(self.top(), &[&event], timeout)? {
                    WokenBy::Notified => self.notified(),
                    WokenBy::Other(_, taken) => self.taken(taken),
                    WokenBy::TimedOut => self.timed_out(),
                });
            }
            ConditionOrder::Notify(condition, count) => {
                let woken = match count {
                    Some(1) => condition.notify_one()?,
                    Some(count) => condition.notify(count)?,
                    None => condition.notify_all()?,
                };
                return Ok(ClientReport::Count(woken as u64));
            }
            ConditionOrder::Rally { condition, mine, theirs, rounds } => {
                rally(&condition, &mine, &theirs, rounds)?;
            }
        }
        Ok(ClientReport::Done)
    }

    pub(super) fn follow_semaphore(&mut self, order: SemaphoreOrder) -> Result<ClientReport> {
        match order {
            SemaphoreOrder::Take(semaphore, permits, None) => {
                return Ok(self.permit(Some(semaphore.acquire(permits)?)));
            }
            SemaphoreOrder::Take(semaphore, permits, Some(timeout)) => {
                return Ok(self.permit(semaphore.acquire_timeout(permits, timeout)?));
            }
            SemaphoreOrder::Drop => drop(self.pop_permit()),
            SemaphoreOrder::Release => self.pop_permit().release()?,
            SemaphoreOrder::Forget => self.pop_permit().forget()?,
            SemaphoreOrder::Add(semaphore, permits) => semaphore.release(permits)?,
        }
        Ok(ClientReport::Done)
    }

    fn guard(&mut self, guard: Option<LockGuard>) -> ClientReport {
        let report = ClientReport::Held(guard.as_ref().map(HeldGrant::from));
        self.guards.extend(guard);
        report
    }

    fn permit(&mut self, permit: Option<Permit>) -> ClientReport {
        let report = ClientReport::Held(permit.as_ref().map(HeldGrant::from));
        self.permits.extend(permit);
        report
    }

    fn taken(&mut self, taken: Taken) -> ClientReport {
        match taken {
            Taken::Lock(guard) => self.guard(Some(guard)),
            Taken::Permit(permit) => self.permit(Some(permit)),
            Taken::Event(_) => ClientReport::Set,
            other => panic!("nobody waits for {other:?}"),
        }
    }

    fn acquire_all(&mut self, locks: &[Lock]) -> Result<ClientReport> {
        let targets: Vec<&dyn Waitable> = locks.iter().map(|lock| lock as _).collect();
        let all = wait_all(&targets, None)?.expect("there is no timeout");
        let mut held = Vec::new();
        for taken in all {
            let Taken::Lock(guard) = taken else { panic!("{taken:?} is no lock") };
            held.push(HeldGrant::from(&guard));
            self.guards.push(guard);
        }
        Ok(ClientReport::All(held))
    }

    fn notified(&mut self) -> ClientReport {
        ClientReport::Notified(HeldGrant::from(&*self.top()))
    }

    fn timed_out(&mut self) -> ClientReport {
        ClientReport::TimedOut(HeldGrant::from(&*self.top()))
    }

    fn top(&mut self) -> &mut LockGuard {
        self.guards.last_mut().expect("it holds a lock")
    }

    fn pop(&mut self) -> LockGuard {
        self.guards.pop().expect("it holds a lock")
    }

    fn pop_permit(&mut self) -> Permit {
        self.permits.pop().expect("it holds permits")
    }
}

fn rally(condition: &Condition, mine: &Event, theirs: &Event, rounds: u32) -> Result<()> {
    for round in 0..rounds {
        let mut guard = condition.acquire()?;
        if !condition.wait_for(&mut guard, PATIENCE, || mine.is_set())? {
            return Err(failure(format!("it was not this one's turn in round {round}")));
        }
        mine.clear()?;
        theirs.set()?;
        condition.notify_all()?;
    }
    Ok(())
}

/// Adds to the number in a file. Without the lock, additions of other clients would be lost.
fn count(lock: &Lock, file: &str, rounds: u32) -> Result<()> {
    for _ in 0..rounds {
        let _guard = lock.acquire()?;
        let number: u32 = std::fs::read_to_string(file).unwrap().parse().unwrap();
        std::fs::write(file, (number + 1).to_string()).unwrap();
    }
    Ok(())
}

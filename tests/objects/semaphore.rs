//! Semaphores across processes: waiters get permits in order, and permits come back however their holder ends.

use std::time::{Duration, Instant};

use client::{Manager, Taken, wait_all, wait_any};
use protocol::ObjectState;
use rustix::process::Signal;

use crate::support::observation::{inspect, until_waiting};
use crate::support::remote_client::{ClientReport, LockOrder, RemoteClient, SemaphoreOrder};
use crate::support::{ManagerProgram, apply, eventually, test};

/// The timeout of a caller that does not wait.
const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

fn start<const N: usize>(program: &ManagerProgram) -> (Manager, [RemoteClient; N]) {
    (program.connect(), [(); N].map(|()| RemoteClient::start(program)))
}

#[apply(test)]
fn has_as_many_permits_as_it_says() {
    let program = ManagerProgram::start();
    let (manager, [mut one, mut other]) = start(&program);
    let semaphore = manager.semaphore("slots", 3).unwrap();
    assert_eq!(one.takes(SemaphoreOrder::Take(semaphore.clone(), 2, None)).depth, 2);
    assert_eq!(other.takes(SemaphoreOrder::Take(semaphore.clone(), 1, None)).depth, 1);
    assert_eq!(semaphore.available().unwrap(), 0);
    let ObjectState::Semaphore { holders, .. } = inspect(&manager, "slots").state else { panic!() };
    let holders: Vec<_> = holders.iter().map(|holder| (holder.session.process, holder.permits)).collect();
    assert!(holders.contains(&(one.process(), 2)) && holders.contains(&(other.process(), 1)));
    assert!(semaphore.try_acquire(1).unwrap().is_none());

    one.does(SemaphoreOrder::Release);
    assert_eq!(semaphore.available().unwrap(), 2);
    other.does(SemaphoreOrder::Drop);
    let all = semaphore.acquire(3).unwrap();
    assert!(all.abandoned().is_none());
    drop(all);
    assert!(semaphore.try_acquire(3).unwrap().is_some(), "the drop was carried out first");
}

#[apply(test)]
fn is_not_granted_while_others_hold_it() {
    let program = ManagerProgram::start();
    let (manager, [mut other]) = start(&program);
    let semaphore = manager.anonymous_semaphore(1).unwrap();
    let permit = semaphore.acquire(1).unwrap();
    assert_eq!(other.ask(SemaphoreOrder::Take(semaphore.clone(), 1, AT_ONCE)), Ok(ClientReport::Held(None)));
    let timeout = Duration::from_millis(50);
    let started = Instant::now();
    assert_eq!(
        other.ask(SemaphoreOrder::Take(semaphore.clone(), 1, Some(timeout))),
        Ok(ClientReport::Held(None))
    );
    assert!(started.elapsed() >= timeout);
    permit.release().unwrap();
    assert!(semaphore.acquire_timeout(1, Duration::MAX).unwrap().is_some(), "centuries are fine");
}

#[apply(test)]
fn small_requests_do_not_pass_a_large_one() {
    let program = ManagerProgram::start();
    let (manager, [mut large, mut small, mut late]) = start(&program);
    let semaphore = manager.semaphore("room", 10).unwrap();
    let (most, rest) = (semaphore.acquire(8).unwrap(), semaphore.acquire(1).unwrap());
    large.tell(SemaphoreOrder::Take(semaphore.clone(), 9, None));
    until_waiting(&manager, "room", 1);
    small.tell(SemaphoreOrder::Take(semaphore.clone(), 1, None));
    until_waiting(&manager, "room", 2);
    // One permit is available, and a caller that wants only one does not get it.
    assert_eq!(semaphore.available().unwrap(), 1);
    assert!(semaphore.try_acquire(1).unwrap().is_none());
    drop(rest);
    late.tell(SemaphoreOrder::Take(semaphore.clone(), 2, None));
    until_waiting(&manager, "room", 3);
    drop(most);
    assert_eq!(large.has_taken().depth, 9);
    assert_eq!(small.has_taken().depth, 1);
    assert_eq!(inspect(&manager, "room").waiting, 1);
    large.does(SemaphoreOrder::Drop);
    assert_eq!(late.has_taken().depth, 2);
}

#[apply(test)]
fn a_request_that_gives_up_lets_those_behind_go() {
    let program = ManagerProgram::start();
    let (manager, [mut large, mut small]) = start(&program);
    let semaphore = manager.semaphore("room", 2).unwrap();
    let _one = semaphore.acquire(1).unwrap();
    large.tell(SemaphoreOrder::Take(semaphore.clone(), 2, Some(Duration::from_millis(300))));
    until_waiting(&manager, "room", 1);
    small.tell(SemaphoreOrder::Take(semaphore.clone(), 1, None));
    assert_eq!(large.report(), Ok(ClientReport::Held(None)));
    small.has_taken();
}

#[apply(test)]
fn a_bounded_one_never_has_more_permits() {
    let program = ManagerProgram::start();
    let (manager, [mut other]) = start(&program);
    let semaphore = manager.bounded_semaphore("few", 2).unwrap();
    let error = semaphore.release(1).unwrap_err();
    assert!(error.is_over_release() && error.to_string().contains("few"), "{error:?}");
    other.takes(SemaphoreOrder::Take(semaphore.clone(), 2, None));
    assert!(semaphore.release(3).unwrap_err().is_over_release());
    assert_eq!(semaphore.available().unwrap(), 0, "all or nothing");
    // Anybody may release permits, as in Python. Their holder cannot release them again after that.
    semaphore.release(2).unwrap();
    assert!(other.ask(SemaphoreOrder::Release).unwrap_err().is_over_release());
    assert_eq!(semaphore.available().unwrap(), 2);

    for error in [
        semaphore.acquire(3).unwrap_err(),
        semaphore.acquire(0).unwrap_err(),
        semaphore.release(0).unwrap_err(),
        manager.bounded_semaphore("none", 0).unwrap_err(),
    ] {
        assert!(error.is_bad_argument(), "{error:?}");
    }
    let error = manager.semaphore("few", 2).unwrap_err();
    assert!(error.is_wrong_parameters() && error.to_string().contains("bounded"), "{error:?}");
    assert!(manager.bounded_semaphore("few", 3).unwrap_err().is_wrong_parameters());
}

#[apply(test)]
fn a_plain_one_counts_what_is_added() {
    let program = ManagerProgram::start();
    let (manager, [mut waiter]) = start(&program);
    let semaphore = manager.semaphore("signals", 0).unwrap();
    waiter.tell(SemaphoreOrder::Take(semaphore.clone(), 3, None));
    until_waiting(&manager, "signals", 1);
    semaphore.release(2).unwrap();
    semaphore.release(2).unwrap();
    assert_eq!(waiter.has_taken().depth, 3);
    assert_eq!(semaphore.available().unwrap(), 1);
    assert!(semaphore.release(u64::MAX).unwrap_err().is_over_release());
}

#[apply(test)]
fn forgotten_permits_do_not_come_back() {
    let program = ManagerProgram::start();
    let (manager, [mut holder]) = start(&program);
    let semaphore = manager.bounded_semaphore("once", 3).unwrap();
    holder.takes(SemaphoreOrder::Take(semaphore.clone(), 2, None));
    holder.does(SemaphoreOrder::Forget);
    holder.takes(SemaphoreOrder::Take(semaphore.clone(), 1, None));
    holder.kill();
    eventually("the one that was not forgotten comes back", || semaphore.available().unwrap() == 1);
    semaphore.acquire(1).unwrap().forget().unwrap();
    assert_eq!(semaphore.available().unwrap(), 0);
    semaphore.release(3).unwrap();
    assert_eq!(semaphore.available().unwrap(), 3);
}

#[apply(test)]
fn permits_of_a_killed_process_go_to_the_next_whose_grant_says_so() {
    let program = ManagerProgram::start();
    let (manager, [mut holder, mut next, mut last]) = start(&program);
    let semaphore = manager.semaphore("slots", 3).unwrap();
    holder.takes(SemaphoreOrder::Take(semaphore.clone(), 1, None));
    holder.takes(SemaphoreOrder::Take(semaphore.clone(), 2, None));
    next.tell(SemaphoreOrder::Take(semaphore.clone(), 3, None));
    until_waiting(&manager, "slots", 1);
    let victim = holder.kill();
    let held = next.has_taken();
    let (process, text) = held.abandoned.unwrap();
    assert!(process == victim && text.contains("signal 9 (SIGKILL)"), "{text}");
    next.does(SemaphoreOrder::Drop);
    assert_eq!(
        last.takes(SemaphoreOrder::Take(semaphore, 3, None)).abandoned,
        None,
        "only one grant says so"
    );
}

#[apply(test)]
fn permits_of_a_killed_process_stay_marked_until_taken_or_released() {
    let program = ManagerProgram::start();
    let (manager, [mut first, mut second, mut third]) = start(&program);
    let semaphore = manager.bounded_semaphore("slots", 2).unwrap();
    first.takes(SemaphoreOrder::Take(semaphore.clone(), 1, None));
    let victim = first.kill();
    eventually("it is available", || semaphore.available().unwrap() == 2);
    // Permits of the dead are granted first.
    assert_eq!(third.takes(SemaphoreOrder::Take(semaphore.clone(), 1, None)).abandoned.unwrap().0, victim);
    third.does(SemaphoreOrder::Release);

    second.takes(SemaphoreOrder::Take(semaphore.clone(), 2, None));
    second.kill();
    eventually("they are available", || semaphore.available().unwrap() == 2);
    semaphore.release(2).unwrap();
    assert!(semaphore.release(1).unwrap_err().is_over_release());
    assert_eq!(third.takes(SemaphoreOrder::Take(semaphore, 2, None)).abandoned, None);
}

#[apply(test)]
fn permits_on_their_way_to_a_killed_process_go_to_the_next() {
    let program = ManagerProgram::start();
    let (manager, [mut first, mut second]) = start(&program);
    let semaphore = manager.semaphore("way", 1).unwrap();
    let permit = semaphore.acquire(1).unwrap();
    first.tell(SemaphoreOrder::Take(semaphore.clone(), 1, None));
    until_waiting(&manager, "way", 1);
    second.tell(SemaphoreOrder::Take(semaphore.clone(), 1, None));
    until_waiting(&manager, "way", 2);
    first.stop();
    permit.release().unwrap();
    assert_eq!((semaphore.available().unwrap(), inspect(&manager, "way").waiting), (0, 1));
    let victim = first.kill();
    assert_eq!(second.has_taken().abandoned.unwrap().0, victim);
}

#[apply(test)]
fn a_killed_waiter_leaves_the_wait_queue() {
    let program = ManagerProgram::start();
    let (manager, [mut first, mut second]) = start(&program);
    let semaphore = manager.semaphore("line", 1).unwrap();
    first.tell(SemaphoreOrder::Take(semaphore.clone(), 2, None));
    until_waiting(&manager, "line", 1);
    second.tell(SemaphoreOrder::Take(semaphore.clone(), 1, None));
    until_waiting(&manager, "line", 2);
    // Nobody releases anything: the end of the first waiter lets the second go on.
    first.kill();
    assert_eq!(second.has_taken().abandoned, None);
}

#[apply(test)]
fn everybody_learns_that_the_manager_was_killed() {
    let program = ManagerProgram::start();
    let (manager, [mut holder, mut waiter]) = start(&program);
    let semaphore = manager.semaphore("gone", 1).unwrap();
    holder.takes(SemaphoreOrder::Take(semaphore.clone(), 1, None));
    waiter.tell(SemaphoreOrder::Take(semaphore.clone(), 1, None));
    until_waiting(&manager, "gone", 1);
    program.running.signal(Signal::KILL);
    assert!(waiter.report().unwrap_err().is_manager_gone());
    holder.does(SemaphoreOrder::Drop);
    holder.end();
    assert!(semaphore.available().unwrap_err().is_manager_gone());
}

#[apply(test)]
fn can_be_waited_for_together_with_others() {
    let program = ManagerProgram::start();
    let (manager, [mut other]) = start(&program);
    let semaphore = manager.semaphore("slots", 4).unwrap();
    let (lock, stop) = (manager.lock("lock").unwrap(), manager.anonymous_event().unwrap());
    let (index, taken) = wait_any(&[&stop, &semaphore.permits(3)], None).unwrap().unwrap();
    let Taken::Permit(three) = taken else { panic!("{taken:?}") };
    assert_eq!((index, three.permits(), semaphore.available().unwrap()), (1, 3, 1));
    let Some((0, Taken::Permit(one))) = wait_any(&[&semaphore], None).unwrap() else { panic!() };
    assert_eq!(one.permits(), 1);
    assert!(wait_any(&[&stop, &semaphore], Duration::ZERO).unwrap().is_none());

    // A wait for all takes neither while the other is missing.
    other.takes(LockOrder::Acquire(lock.clone(), None));
    drop((three, one));
    assert!(wait_all(&[&lock, &semaphore.permits(4)], Duration::from_millis(20)).unwrap().is_none());
    assert_eq!(semaphore.available().unwrap(), 4);
    other.does(LockOrder::Release);
    let both = wait_all(&[&lock, &semaphore.permits(4)], None).unwrap().unwrap();
    assert!(matches!(&both[..], [Taken::Lock(_), Taken::Permit(permit)] if permit.permits() == 4));
    drop(both);
    assert_eq!(semaphore.available().unwrap(), 4);
    assert!(lock.try_acquire().unwrap().is_some());
}

#[apply(test)]
fn can_be_released_in_one_step_with_a_wait() {
    let program = ManagerProgram::start();
    let (manager, [mut other]) = start(&program);
    let [tick, tock] = ["tick", "tock"].map(|name| manager.semaphore(name, 1).unwrap());
    let permit = tick.acquire(1).unwrap();
    other.takes(SemaphoreOrder::Take(tock.clone(), 1, None));
    other.tell(SemaphoreOrder::Take(tick.clone(), 1, None));
    until_waiting(&manager, "tick", 1);
    assert!(permit.release_and_wait(&tock, Duration::ZERO).unwrap().is_none());
    other.has_taken();
    other.does(SemaphoreOrder::Drop);
    let permit = tick.acquire(1).unwrap();
    other.does(SemaphoreOrder::Drop);
    let Some(Taken::Permit(permit)) = permit.release_and_wait(&tock, None).unwrap() else { panic!() };
    assert_eq!(tick.available().unwrap(), 1);

    let other_manager = ManagerProgram::start();
    let foreign = other_manager.connect().anonymous_event().unwrap();
    assert!(permit.release_and_wait(&foreign, None).unwrap_err().is_bad_target());
    assert_eq!(tock.available().unwrap(), 1, "it was given back all the same");
}

#[apply(test)]
fn a_waiter_learns_that_it_was_removed() {
    let program = ManagerProgram::start();
    let (manager, [mut holder, mut waiter]) = start(&program);
    let semaphore = manager.semaphore("short", 1).unwrap();
    holder.takes(SemaphoreOrder::Take(semaphore.clone(), 1, None));
    waiter.tell(SemaphoreOrder::Take(semaphore.clone(), 1, None));
    until_waiting(&manager, "short", 1);
    semaphore.remove().unwrap();
    assert!(waiter.report().unwrap_err().is_removed());
    assert!(holder.ask(SemaphoreOrder::Release).unwrap_err().is_no_such_object());
    assert!(semaphore.acquire(1).unwrap_err().is_no_such_object());
}

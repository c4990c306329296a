//! Locks whose holder or waiter was killed: the next one gets the lock, and its grant says what happened.

use crate::objects::lock::start;
use crate::support::observation::{holder, until_waiting};
use crate::support::remote_client::{HeldGrant, LockOrder};
use crate::support::{ManagerProgram, apply, eventually, test};

/// Checks that the grant of the next taker says that a killed process held the lock.
pub(crate) fn assert_abandoned(held: &HeldGrant, victim: u32) {
    let (process, text) = held.abandoned.as_ref().expect("its grant says so");
    assert_eq!(*process, victim);
    let program = std::env::current_exe().unwrap();
    let program = program.file_name().unwrap().to_str().unwrap();
    let start = format!(
        "left behind by pid {victim} ({program}), which was ended by signal 9 (SIGKILL) after holding it "
    );
    assert!(text.starts_with(&start), "{text}");
}

#[apply(test)]
fn of_a_killed_holder_goes_to_the_next_whose_grant_says_so() {
    let program = ManagerProgram::start();
    let (manager, [mut first, mut second, mut third]) = start(&program);
    let lock = manager.lock("held").unwrap();
    first.takes(LockOrder::Acquire(lock.clone(), None));
    second.tell(LockOrder::Acquire(lock.clone(), None));
    until_waiting(&manager, "held", 1);
    third.tell(LockOrder::Acquire(lock.clone(), None));
    until_waiting(&manager, "held", 2);
    let victim = first.kill();
    assert_abandoned(&second.has_taken(), victim);
    second.does(LockOrder::Drop);
    assert_eq!(third.has_taken().abandoned, None, "only one grant says so");
}

#[apply(test)]
fn of_a_killed_holder_stays_marked_until_taken_or_released() {
    let program = ManagerProgram::start();
    let (manager, [mut first, mut second, mut third]) = start(&program);
    let lock = manager.lock("held").unwrap();
    first.takes(LockOrder::Acquire(lock.clone(), None));
    let victim = first.kill();
    assert_abandoned(&third.takes(LockOrder::Acquire(lock.clone(), None)), victim);
    third.does(LockOrder::Drop);

    second.takes(LockOrder::Acquire(lock.clone(), None));
    second.kill();
    // Anybody can clear the mark, once.
    eventually("its death is known", || lock.release().is_ok());
    assert!(lock.release().unwrap_err().is_not_owner());
    assert_eq!(third.takes(LockOrder::Acquire(lock.clone(), None)).abandoned, None);
}

#[apply(test)]
fn that_a_process_keeps_and_leaves_can_be_released_by_another() {
    let program = ManagerProgram::start();
    let (manager, [mut first, mut second]) = start(&program);
    let lock = manager.lock("kept").unwrap();
    // Its own thread can release it,
    first.takes(LockOrder::Acquire(lock.clone(), None));
    first.does(LockOrder::Keep);
    assert!(second.ask(LockOrder::ReleaseKept(lock.clone())).unwrap_err().is_not_owner());
    first.does(LockOrder::ReleaseKept(lock.clone()));
    // and another process can when its own has ended in order.
    first.takes(LockOrder::Acquire(lock.clone(), None));
    first.does(LockOrder::Keep);
    first.end();
    eventually("its end is known", || holder(&manager, "kept").is_none());
    second.does(LockOrder::ReleaseKept(lock.clone()));
    assert_eq!(second.takes(LockOrder::Acquire(lock, None)).abandoned, None);
}

#[apply(test)]
fn a_grant_on_its_way_to_a_killed_process_goes_to_the_next() {
    let program = ManagerProgram::start();
    let (manager, [mut first, mut second, mut third]) = start(&program);
    let lock = manager.lock("way").unwrap();
    first.takes(LockOrder::Acquire(lock.clone(), None));
    second.tell(LockOrder::Acquire(lock.clone(), None));
    until_waiting(&manager, "way", 1);
    third.tell(LockOrder::Acquire(lock.clone(), None));
    until_waiting(&manager, "way", 2);
    second.stop();
    first.does(LockOrder::Release);
    assert_eq!(holder(&manager, "way").unwrap().process, second.process());
    let victim = second.kill();
    assert_abandoned(&third.has_taken(), victim);
}

#[apply(test)]
fn a_killed_waiter_leaves_the_wait_queue() {
    let program = ManagerProgram::start();
    let (manager, [mut first, mut second, mut third]) = start(&program);
    let lock = manager.lock("line").unwrap();
    first.takes(LockOrder::Acquire(lock.clone(), None));
    second.tell(LockOrder::Acquire(lock.clone(), None));
    until_waiting(&manager, "line", 1);
    third.tell(LockOrder::Acquire(lock.clone(), None));
    until_waiting(&manager, "line", 2);
    second.kill();
    until_waiting(&manager, "line", 1);
    first.does(LockOrder::Drop);
    assert_eq!(third.has_taken().abandoned, None);
}

//! Deadlocks of commands that run under locks, which the manager cannot know: it sees processes that hold locks, and
//! not that one of them waits for its command, in which another one waits.
//!
//! A run holds its lock until nothing of its command is left. So it is taken to wait for whatever its command has
//! started that waits for a lock itself.

use std::collections::BTreeSet;

use protocol::ThreadId;

/// A thread of a process that holds a lock or waits for one, as the manager knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LockUser {
    pub(super) process: u32,
    pub(super) program: String,
    pub(super) thread: ThreadId,
}

/// A thread that waits for a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LockWait {
    pub(super) waiter: LockUser,
    /// The runs in whose commands the waiter runs.
    pub(super) enclosing: Vec<u32>,
    /// The lock, for messages.
    pub(super) lock: String,
    pub(super) holder: LockUser,
    /// Whether something else can end the wait: a deadline, or another object.
    pub(super) has_way_out: bool,
}

/// Waits of which each lasts as long as the next, and the last as long as the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cycle(Vec<LockWait>);

impl Cycle {
    /// The cycle that the first of these waits belongs to, if there is one.
    pub(super) fn of_first(waits: &[LockWait]) -> Option<Cycle> {
        let mut way = vec![0];
        let mut visited = BTreeSet::new();
        find_way_round(waits, &mut way, &mut visited)
            .then(|| Cycle(way.into_iter().map(|index| waits[index].clone()).collect()))
    }

    /// Whether one wait makes the whole cycle: the holder of the lock is a run in whose command the waiter runs.
    pub(super) fn is_nested(&self) -> bool {
        self.0.len() == 1
    }

    /// How many of its waiters are to give up before the first one. All of them find the same cycle, and one that gives
    /// up is enough.
    pub(super) fn rank_of_first(&self) -> usize {
        let first = self.0[0].waiter.process;
        self.0.iter().filter(|wait| wait.waiter.process > first).count()
    }

    /// The cycle in words, from the first waiter on, which reads this.
    pub(super) fn describe(&self) -> String {
        let mut text = String::new();
        for (index, wait) in self.0.iter().enumerate() {
            let LockWait { lock, holder, .. } = wait;
            if index == 0 {
                text.push_str(&format!("{lock} is held by {}", shown(holder)));
            } else {
                text.push_str(&format!(" waits for {lock}, held by {}", shown(holder)));
            }
            let next = self.0.get(index + 1);
            let is_inside = next.unwrap_or(&self.0[0]).enclosing.contains(&holder.process);
            text.push_str(match (is_inside, next) {
                (true, None) => ", in whose command this program runs",
                (false, None) => ", which is this program",
                (true, Some(_)) => ", in whose command ",
                (false, Some(_)) => ", which",
            });
            if let (true, Some(next)) = (is_inside, next) {
                text.push_str(&shown(&next.waiter));
            }
        }
        text
    }
}

fn shown(user: &LockUser) -> String {
    format!("pid {} ({})", user.process, user.program)
}

/// Goes on from the last wait on the way to those that its lock waits for, until the way leads back to its beginning.
fn find_way_round(waits: &[LockWait], way: &mut Vec<usize>, visited: &mut BTreeSet<usize>) -> bool {
    let holder = &waits[*way.last().expect("the way has a beginning")].holder;
    for (index, wait) in waits.iter().enumerate() {
        let is_thread_of_holder =
            (wait.waiter.process, wait.waiter.thread) == (holder.process, holder.thread);
        if !is_thread_of_holder && !wait.enclosing.contains(&holder.process) {
            continue;
        }
        if index == way[0] {
            return true;
        }
        if wait.has_way_out || !visited.insert(index) {
            continue;
        }
        way.push(index);
        if find_way_round(waits, way, visited) {
            return true;
        }
        way.pop();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(process: u32) -> LockUser {
        LockUser { process, program: "worker".to_owned(), thread: ThreadId(1) }
    }

    fn wait(waiter: u32, enclosing: &[u32], lock: &str, holder: u32) -> LockWait {
        LockWait {
            waiter: user(waiter),
            enclosing: enclosing.to_vec(),
            lock: format!("lock {lock:?}"),
            holder: user(holder),
            has_way_out: false,
        }
    }

    #[test]
    fn a_lock_of_a_run_around_the_waiter_never_comes() {
        for enclosing in [&[4][..], &[5, 4], &[4, 3]] {
            let cycle = Cycle::of_first(&[wait(9, enclosing, "a", 4)]).unwrap();
            assert!(cycle.is_nested());
            let text = "lock \"a\" is held by pid 4 (worker), in whose command this program runs";
            assert_eq!(cycle.describe(), text);
        }
        assert_eq!(Cycle::of_first(&[wait(9, &[5], "a", 4)]), None);
    }

    #[test]
    fn runs_that_wait_for_each_other_are_found_from_every_one_of_them() {
        let waits = [wait(9, &[4], "b", 6), wait(11, &[7], "c", 8), wait(10, &[6], "a", 4)];
        let cycle = Cycle::of_first(&waits).unwrap();
        assert_eq!(
            cycle.describe(),
            "lock \"b\" is held by pid 6 (worker), in whose command pid 10 (worker) waits for lock \"a\", held by \
             pid 4 (worker), in whose command this program runs"
        );
        assert_eq!((cycle.is_nested(), cycle.rank_of_first()), (false, 1));
        let cycle = Cycle::of_first(&[waits[2].clone(), waits[0].clone()]).unwrap();
        assert_eq!(cycle.rank_of_first(), 0);
    }

    #[test]
    fn a_wait_that_something_else_can_end_is_no_deadlock() {
        let mut waits = [wait(9, &[4], "b", 6), wait(10, &[6], "a", 4)];
        waits[1].has_way_out = true;
        assert_eq!(Cycle::of_first(&waits), None);
    }

    #[test]
    fn a_program_that_holds_one_lock_and_waits_for_another_is_part_of_a_cycle() {
        let waits = [wait(9, &[4], "b", 6), wait(6, &[], "a", 4)];
        let text = Cycle::of_first(&waits).unwrap().describe();
        assert!(
            text.starts_with("lock \"b\" is held by pid 6 (worker), which waits for lock \"a\""),
            "{text}"
        );
        let mut other_thread = waits;
        other_thread[1].waiter.thread = ThreadId(2);
        assert_eq!(Cycle::of_first(&other_thread), None);
    }
}

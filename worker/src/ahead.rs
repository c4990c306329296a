//! Tasks that were handed to this worker ahead, and what gives them back: a thread, when they have waited for some
//! milliseconds, and the run loop, when their batch was stopped.
//!
//! Both take tasks out under one lock, so each task is either begun here or given back.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use client::Result;
use client::internal::{Link, is_stopped};
use protocol::limits::TASKS_PER_GRANT_MAX;
use protocol::{Request, TaskGrant, TasksGrant};

/// How long tasks wait here since they were granted, however many of them are begun meanwhile; up to twice that before
/// they are given back. They were granted because all of them together were to take half of it.
const MOMENT: Duration = Duration::from_millis(2);

/// The stack of the thread, in bytes. It sends a request, and calls nothing of the program's.
const STACK_BYTES: usize = 128 << 10;

/// The tasks that were granted to this worker and not begun.
#[derive(Debug)]
pub(crate) struct Ahead {
    shared: Arc<Shared>,
    /// How many tasks to ask for at most.
    most: u32,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Told when there are tasks again and the thread sleeps.
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// In the order in which they are to begin.
    tasks: VecDeque<TaskGrant>,
    /// How many grants there were.
    grants: u64,
    /// Whether one of the last grant was begun. It is started by the grant; those behind it are not, before they begin.
    is_first_begun: bool,
    /// Whether the thread sleeps until there are tasks.
    is_asleep: bool,
}

impl Ahead {
    /// Nothing yet, and a thread that watches over it. Without the thread, tasks are asked for one by one.
    pub(crate) fn new(link: &Arc<Link>) -> Ahead {
        let shared = Arc::new(Shared { waiting: Mutex::default(), filled: Condvar::new() });
        // Not to be kept by the thread: the last thing that a worker sends is the goodbye of its link.
        let (watched, link) = (Arc::clone(&shared), Arc::downgrade(link));
        let thread = thread::Builder::new().name("ahead".to_owned()).stack_size(STACK_BYTES);
        let most = match thread.spawn(move || watched.watch(&link)) {
            Ok(_) => TASKS_PER_GRANT_MAX as u32,
            Err(error) => {
                log::warn!("tasks are taken one by one, as no thread can be started: {error}");
                1
            }
        };
        Ahead { shared, most }
    }

    /// How many tasks to ask for, if this worker is to begin no more than that.
    pub(crate) fn most(&self, rest: u32) -> u32 {
        self.most.min(rest)
    }

    /// Takes in what was granted.
    pub(crate) fn fill(&self, granted: TasksGrant) {
        let TasksGrant { batch, function, stop, tasks } = granted;
        let mut waiting = self.shared.lock();
        waiting.grants += 1;
        waiting.is_first_begun = false;
        waiting.tasks.extend(tasks.into_iter().map(|task| TaskGrant {
            batch,
            task: task.task,
            function: Arc::clone(&function),
            arguments: task.arguments,
            stop,
            retry: task.retry,
        }));
        if waiting.tasks.len() > 1 && waiting.is_asleep {
            waiting.is_asleep = false;
            self.shared.filled.notify_one();
        }
    }

    /// Takes the next task out, to begin it. If its batch was stopped, and it is not started yet, it goes back with all
    /// that are behind it.
    pub(crate) fn begin(&self, link: &Arc<Link>) -> Result<Option<TaskGrant>> {
        let mut waiting = self.shared.lock();
        let Some(next) = waiting.tasks.front() else { return Ok(None) };
        if waiting.is_first_begun && is_stopped(link, next.stop) {
            waiting.give_back(link)?;
            return Ok(None);
        }
        waiting.is_first_begun = true;
        Ok(waiting.tasks.pop_front())
    }

    /// Whether there are more tasks to begin.
    pub(crate) fn has_more(&self) -> bool {
        !self.shared.lock().tasks.is_empty()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives back what has waited for a while. It looks again and again only while tasks are granted.
    fn watch(&self, link: &Weak<Link>) {
        let mut waiting = self.lock();
        loop {
            let grants = waiting.grants;
            drop(waiting);
            thread::sleep(MOMENT);
            waiting = self.lock();
            if waiting.grants != grants {
                continue;
            }
            if !waiting.tasks.is_empty() {
                // Otherwise the manager is gone, and with it whoever waits for the tasks.
                let Some(link) = link.upgrade() else { return };
                if waiting.give_back(&link).is_err() {
                    return;
                }
            }
            waiting.is_asleep = true;
            while waiting.is_asleep {
                waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl Waiting {
    /// Gives back everything, of which there is something.
    fn give_back(&mut self, link: &Link) -> Result<()> {
        let batch = self.tasks[0].batch;
        let tasks = self.tasks.drain(..).map(|task| task.task).collect();
        link.send(Request::TasksGiveBack { batch, tasks })
    }
}

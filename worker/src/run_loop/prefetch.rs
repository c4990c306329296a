//! Prefetched tasks: those that the manager granted this worker together, and that have not started yet.
//!
//! A thread gives them back to the manager if they have waited for some milliseconds, and the run loop does if their
//! batch was stopped. Both take tasks out under one lock, so each task either starts here or is given back.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use client::Result;
use client::internal::operations::TasksGiveBack;
use client::internal::{Link, Operation, is_stopped};
use protocol::limits::TASKS_PER_GRANT_MAX;
use protocol::{TaskGrant, TasksGrant};

/// How long prefetched tasks may wait after the last grant, at least. The thread gives them back after at most twice
/// that. The manager grants several tasks only if it expects all of them together to take half of it.
const WAIT_MIN: Duration = Duration::from_millis(2);

/// The stack of the thread, in bytes. It sends requests, and calls nothing of the program's.
const STACK_BYTES: usize = 128 << 10;

/// The tasks that were granted to this worker and have not started.
#[derive(Debug)]
pub(crate) struct PrefetchedTasks {
    shared: Arc<SharedTaskQueue>,
    /// The most tasks that one request asks for.
    request_max: u32,
}

#[derive(Debug)]
struct SharedTaskQueue {
    queue: Mutex<TaskQueue>,
    /// Notified when there are tasks again and the thread sleeps.
    filled: Condvar,
}

#[derive(Debug, Default)]
struct TaskQueue {
    /// In the order in which they start.
    tasks: VecDeque<TaskGrant>,
    /// How many grants there were.
    grants: u64,
    /// Whether a task of the last grant was started. The manager counts the first as started with the grant, and the
    /// others when they start.
    is_first_started: bool,
    /// Whether the thread sleeps until there are tasks.
    is_asleep: bool,
}

impl PrefetchedTasks {
    /// No tasks, and a thread that gives back those that wait. Without that thread, tasks are requested one by one.
    pub(crate) fn new(link: &Arc<Link>) -> PrefetchedTasks {
        let shared = Arc::new(SharedTaskQueue { queue: Mutex::default(), filled: Condvar::new() });
        // The thread must not keep the link alive: the last thing that a worker sends is the goodbye of its link.
        let (watched, link) = (Arc::clone(&shared), Arc::downgrade(link));
        let thread = thread::Builder::new().name("prefetch".to_owned()).stack_size(STACK_BYTES);
        let request_max = match thread.spawn(move || watched.give_back_late(&link)) {
            Ok(_) => TASKS_PER_GRANT_MAX as u32,
            Err(error) => {
                log::warn!("this worker takes tasks one by one, since it cannot start a thread: {error}");
                1
            }
        };
        PrefetchedTasks { shared, request_max }
    }

    /// How many tasks to request, if this worker is to start at most `rest` more.
    pub(crate) fn request_count(&self, rest: u32) -> u32 {
        self.request_max.min(rest)
    }

    /// Adds granted tasks.
    pub(crate) fn add(&self, granted: TasksGrant) {
        let TasksGrant { batch, function, stop, tasks } = granted;
        let mut queue = self.shared.lock();
        queue.grants += 1;
        queue.is_first_started = false;
        queue.tasks.extend(tasks.into_iter().map(|task| TaskGrant {
            batch,
            task: task.task,
            function: Arc::clone(&function),
            arguments: task.arguments,
            stop,
            retry: task.retry,
        }));
        if queue.tasks.len() > 1 && queue.is_asleep {
            queue.is_asleep = false;
            self.shared.filled.notify_one();
        }
    }

    /// Takes out the next task, to start it. If its batch was stopped, gives it back instead, together with all tasks
    /// behind it.
    pub(crate) fn next(&self, link: &Arc<Link>) -> Result<Option<TaskGrant>> {
        let mut queue = self.shared.lock();
        let Some(next) = queue.tasks.front() else { return Ok(None) };
        if queue.is_first_started && is_stopped(link, next.stop) {
            queue.give_back(link)?;
            return Ok(None);
        }
        queue.is_first_started = true;
        Ok(queue.tasks.pop_front())
    }

    /// Whether there are more tasks to start.
    pub(crate) fn has_more(&self) -> bool {
        !self.shared.lock().tasks.is_empty()
    }
}

impl SharedTaskQueue {
    fn lock(&self) -> MutexGuard<'_, TaskQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives back tasks that have waited too long. It wakes up only while tasks are granted.
    fn give_back_late(&self, link: &Weak<Link>) {
        let mut queue = self.lock();
        loop {
            let grants = queue.grants;
            drop(queue);
            thread::sleep(WAIT_MIN);
            queue = self.lock();
            if queue.grants != grants {
                continue;
            }
            if !queue.tasks.is_empty() {
                // Without a link the manager is gone, and with it everybody who waits for the tasks.
                let Some(link) = link.upgrade() else { return };
                if queue.give_back(&link).is_err() {
                    return;
                }
            }
            queue.is_asleep = true;
            while queue.is_asleep {
                queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl TaskQueue {
    /// Gives back all tasks. There must be at least one.
    fn give_back(&mut self, link: &Link) -> Result<()> {
        let batch = self.tasks[0].batch;
        let tasks = self.tasks.drain(..).map(|task| task.task).collect();
        link.send(TasksGiveBack { batch, tasks }.into_request())
    }
}

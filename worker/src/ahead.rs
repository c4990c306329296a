//! Tasks that were handed to this worker ahead, and the thread that gives them back when one takes long.
//!
//! The run loop and that thread take tasks out under one lock, so each task is either begun here or given back.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use client::internal::Link;
use protocol::limits::TASKS_PER_GRANT_MAX;
use protocol::{Request, TaskGrant, TasksGrant};

/// How long a task takes at most for others to wait behind it; up to twice that before they are given back.
const MOMENT: Duration = Duration::from_millis(1);

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
    /// How many tasks this worker has begun.
    begun: u64,
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

    /// Takes the next task out, to begin it.
    pub(crate) fn begin(&self) -> Option<TaskGrant> {
        let mut waiting = self.shared.lock();
        let task = waiting.tasks.pop_front()?;
        waiting.begun += 1;
        Some(task)
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

    /// Gives back what waits behind a task that takes long. It looks again and again only while tasks come and go.
    fn watch(&self, link: &Weak<Link>) {
        let mut waiting = self.lock();
        loop {
            let begun = waiting.begun;
            drop(waiting);
            thread::sleep(MOMENT);
            waiting = self.lock();
            if waiting.begun != begun {
                continue;
            }
            if !waiting.tasks.is_empty() && !waiting.give_back(link) {
                return;
            }
            waiting.is_asleep = true;
            while waiting.is_asleep {
                waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl Waiting {
    /// Gives back everything. False: the manager is gone, and with it whoever waits for the tasks.
    fn give_back(&mut self, link: &Weak<Link>) -> bool {
        let Some(link) = link.upgrade() else { return false };
        let batch = self.tasks[0].batch;
        let tasks = self.tasks.drain(..).map(|task| task.task).collect();
        link.send(Request::TasksGiveBack { batch, tasks }).is_ok()
    }
}

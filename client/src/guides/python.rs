//! Ten points where this differs from Python's `multiprocessing`, for readers who know it.
//!
//! # Verb by verb
//!
//! | Python | here |
//! | --- | --- |
//! | `m = Manager()` | [`Manager::start`] |
//! | `BaseManager(address).connect()` | [`Manager::connect`], [`Manager::connect_to`] |
//! | `m.Event()` | [`anonymous_event()`], or [`event("stop")`] for all processes that know it; so for every kind |
//! | `set`, `clear`, `is_set` | the same; [`set_because`] says why |
//! | `event.wait(t)` | [`event.wait(t)`][event_wait], which tells who set it; `None` waits forever |
//! | `m.Lock()`, `m.RLock()` | [`anonymous_lock()`], [`anonymous_rlock()`] |
//! | `with lock:` | `let guard = lock.acquire()?;`, which releases the lock when it is dropped |
//! | `acquire(False)`, `acquire(timeout=t)` | [`try_acquire()`], [`acquire_timeout(t)`] |
//! | `m.Condition()` | [`anonymous_condition()`] |
//! | `m.Condition(lock)` | [`condition_options()`] and [`over_lock(&lock)`] |
//! | `wait(t)`, `wait_for(p, t)` | [`wait(&mut guard, t)`], [`wait_for(&mut guard, t, p)`] |
//! | `notify(n)`, `notify_all()` | [`notify(n)`], [`notify_all()`], which tell how many were woken |
//! | `m.Semaphore(n)` | [`anonymous_semaphore(n)`] |
//! | `m.BoundedSemaphore(n)` | [`semaphore_options(n)`] and [`bounded(true)`] |
//! | `m.Barrier(n, action, timeout)` | [`anonymous_barrier(n)`]; action and timeout come with each [`wait_with`] |
//! | `barrier.wait()` | [`barrier.wait(None)`], which returns the index and whether this party leads |
//! | `abort`, `reset` | [`abort(reason)`], [`reset`] |
//! | `broken`, `n_waiting`, `parties` | [`broken`], which tells by what; [`waiting`]; [`parties`] |
//! | `m.Queue(maxsize)` | [`anonymous_queue::<T>()`]; [`queue_options()`] and [`capacity(n)`], where 0 is an error |
//! | `JoinableQueue` | [`queue_options()`] and [`joinable(true)`] |
//! | `put`, `put_nowait`, `put(x, timeout=t)` | [`put`], [`try_put`], [`put_timeout`]; full is `false`, no exception |
//! | `get`, `get_nowait`, `get(timeout=t)` | [`get`], [`try_get`], [`get_timeout`]; empty is `None`, no exception |
//! | `qsize`, `empty` | [`len`], [`is_empty`], which are exact at the moment of the answer |
//! | a sentinel at the end of a queue | [`close`]: consumers that [iterate] get what is left, and end |
//! | `connection.wait([...])` | [`wait_any`] and [`wait_all`], over objects of all kinds |
//! | `Pool(n)` and its verbs | [`Pool::new`]; `apply`, `map`, `starmap` and their `_async` forms |
//! | `chunksize=n` | [`chunk_size(n)`], which is only how calls travel: each returns or fails on its own |
//! | `maxtasksperchild=n` | [`max_tasks_per_child(n)`], which counts calls and not chunks |
//! | nothing | [`Latch`], [`inspect`], names, [fencing tokens] |
//!
//! Shared values, lists, dictionaries and namespaces of a `Manager` have no counterpart here: this library coordinates
//! processes, and stores nothing for them.
//!
//! # The ten points
//!
//! **1. The thread that acquired a lock releases it.** In Python any process or thread may release a `Lock`, even by
//! mistake, and then two use at once what it guards. Here the holder is the thread that acquired it; a release by
//! another thread fails ([`is_not_owner`](crate::Error::is_not_owner)) and changes nothing. Another thread of the
//! process may drop its guard.
//!
//! **2. The lock of a dead process is free, and the next taker learns of it.** In Python it stays locked forever. Here
//! the next [`acquire`](crate::Lock::acquire) succeeds at once, and its guard tells [who left it
//! behind](crate::Abandonment), since what the lock guards may be half changed. Until then the lock stays marked as
//! abandoned. Some programs let a child acquire the lock and end, and then a parent release it: that still works
//! ([`release`](crate::Lock::release)).
//!
//! **3. Permits of a semaphore are charged to the process that acquired them.** In Python a semaphore is a number, and
//! a process that dies takes its permits with it. Here the next taker gets them, and learns of it. A process that
//! acquired nothing can release a plain semaphore, as in Python.
//!
//! **4. An item of a queue is not lost with its receiver.** In Python an item is gone once a process has received it.
//! Here it goes back to the others if its receiver dies before acknowledging it: in a plain queue by its next request,
//! in a joinable one by `task_done`. A process leaves in order by dropping every proxy; `process::exit` and a panic are
//! deaths. So only the process that received the item calls `task_done` for it, and `join` waits for the second
//! receiver as it did for the first. [`Queue`](crate::Queue) says more.
//!
//! **5. A barrier breaks when a party dies.** In Python a party that dies while it waits still counts, and the others
//! pass without it. Here all of them fail at once, with a text that names the dead. (A process that dies before it
//! arrives is not a party yet; a timeout covers that case.) A timeout breaks the barrier in Python too; here the party
//! that timed out gets [`is_timeout`](crate::Error::is_timeout), and the others get
//! [`is_broken`](crate::Error::is_broken). Functions do not travel between processes, so the action comes with a wait
//! and not with the barrier; it still runs once, before any party goes on.
//!
//! **6. A deadlock is an error.** In Python two processes that wait for each other's locks wait forever. The manager
//! here sees every holder and every waiter: an `acquire` that would never end fails at once
//! ([`is_deadlock`](crate::Error::is_deadlock)) and tells the whole cycle. That includes a thread that acquires a plain
//! lock twice. A wait with a timeout ends by itself and is never such an error.
//!
//! **7. First come, first served, and no wake-up is lost.** Python promises no order, and a `multiprocessing.Event`
//! that is set and cleared at once can leave a waiter with `False`. Here every object serves its waiters in order, so
//! small requests for permits do not starve a large one; a set wakes every waiter, whatever comes after it. If a
//! process dies while a notification or the signal of an auto-reset event is on its way to it, the next waiter gets
//! that. No wait returns without a reason.
//!
//! **8. Timeouts know no calendar.** A timeout of a `multiprocessing.Semaphore`, and of the classes built on it, is a
//! point on the system's clock, which somebody can set. Here it is a [`Duration`](std::time::Duration), which the
//! manager counts on a monotonic clock from the arrival of the request. None can be negative; zero asks and does not
//! wait; centuries are fine. A timeout that ends is an answer, `None` or `false`, and no exception; but it is an error
//! at a barrier, which it breaks, and in a request for a task's result, as in Python.
//!
//! **9. An `Err` that a task returns is a value.** In Python a function fails by an exception, and `get` raises it.
//! Here a task that returns `Result<T, E>` gives its caller that `Result`, inside the `Result` of the call itself; only
//! a task that did not return, because it panicked or its worker died, is an [`Error`](crate::Error). In a `map`, one
//! `Err` leaves the other results alone, and so does a call that fails: the calls that travel in one chunk do not share
//! their fate, as they do in Python.
//!
//! **10. Everyone learns of the manager's end at once, as one error.** In Python it is an `EOFError`, a
//! `BrokenPipeError` or a `ConnectionRefusedError`, depending on the place. Here every call that waits and every later
//! one fails with [`is_manager_gone`](crate::Error::is_manager_gone). A later manager at the same address is another
//! one, and never takes an earlier proxy for one of its own objects: calls on that proxy still report that the manager
//! is gone, and decoding its bytes reports an earlier life ([`is_stale`](crate::Error::is_stale), from
//! [`decode`](crate::decode) or [`take_decode_error`](crate::take_decode_error)).
//!
//! # Names and lifetimes
//!
//! Python shares an object by handing it to a child, or with any process that has the address and the key. Here any
//! program of the same user opens it by its name, in any order, and gets an error if the object is of another kind or
//! has other parameters ([`is_wrong_kind`](crate::Error::is_wrong_kind),
//! [`is_wrong_parameters`](crate::Error::is_wrong_parameters)). An object without a name lives as long as a proxy of a
//! living process refers to it, or a queued task or item carries one: a proxy on its way keeps the object alive after
//! its sender has dropped its own.
//!
//! [`Manager::start`]: crate::Manager::start
//! [`Manager::connect`]: crate::Manager::connect
//! [`Manager::connect_to`]: crate::Manager::connect_to
//! [`anonymous_event()`]: crate::Manager::anonymous_event
//! [`event("stop")`]: crate::Manager::event
//! [`set_because`]: crate::Event::set_because
//! [event_wait]: crate::Event::wait
//! [`anonymous_lock()`]: crate::Manager::anonymous_lock
//! [`anonymous_rlock()`]: crate::Manager::anonymous_rlock
//! [`try_acquire()`]: crate::Lock::try_acquire
//! [`acquire_timeout(t)`]: crate::Lock::acquire_timeout
//! [`anonymous_condition()`]: crate::Manager::anonymous_condition
//! [`condition_options()`]: crate::Manager::condition_options
//! [`over_lock(&lock)`]: crate::OpenOptions::over_lock
//! [`wait(&mut guard, t)`]: crate::Condition::wait
//! [`wait_for(&mut guard, t, p)`]: crate::Condition::wait_for
//! [`notify(n)`]: crate::Condition::notify
//! [`notify_all()`]: crate::Condition::notify_all
//! [`anonymous_semaphore(n)`]: crate::Manager::anonymous_semaphore
//! [`semaphore_options(n)`]: crate::Manager::semaphore_options
//! [`bounded(true)`]: crate::OpenOptions::bounded
//! [`anonymous_barrier(n)`]: crate::Manager::anonymous_barrier
//! [`wait_with`]: crate::Barrier::wait_with
//! [`barrier.wait(None)`]: crate::Barrier::wait
//! [`abort(reason)`]: crate::Barrier::abort
//! [`reset`]: crate::Barrier::reset
//! [`broken`]: crate::Barrier::broken
//! [`waiting`]: crate::Barrier::waiting
//! [`parties`]: crate::Barrier::parties
//! [`anonymous_queue::<T>()`]: crate::Manager::anonymous_queue
//! [`queue_options()`]: crate::Manager::queue_options
//! [`capacity(n)`]: crate::OpenOptions::capacity
//! [`joinable(true)`]: crate::OpenOptions::joinable
//! [`put`]: crate::Queue::put
//! [`try_put`]: crate::Queue::try_put
//! [`put_timeout`]: crate::Queue::put_timeout
//! [`get`]: crate::Queue::get
//! [`try_get`]: crate::Queue::try_get
//! [`get_timeout`]: crate::Queue::get_timeout
//! [`len`]: crate::Queue::len
//! [`is_empty`]: crate::Queue::is_empty
//! [`close`]: crate::Queue::close
//! [iterate]: crate::Queue::iter
//! [`wait_any`]: crate::wait_any
//! [`wait_all`]: crate::wait_all
//! [`Pool::new`]: crate::Pool::new
//! [`chunk_size(n)`]: crate::BatchBuilder::chunk_size
//! [`max_tasks_per_child(n)`]: crate::PoolBuilder::max_tasks_per_child
//! [`Latch`]: crate::Latch
//! [`inspect`]: crate::inspect
//! [fencing tokens]: crate::LockGuard::token

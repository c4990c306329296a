//! What all proxies have in common: a reference to one object, and how it travels between processes.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use client_core::operations::{Attach, Detach, Either, Open, Remove, WaitFor, WaitForEither};
use client_core::{DeferredRelease, Operation, Unexpected, WaitTarget};
use protocol::{Epoch, Kind, Name, ObjectId, OpenMode, Reply, Request, Spec};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::connection::acks::AckHold;
use crate::connection::link::Link;
use crate::connection::registry;
use crate::process::thread;
use crate::values::carry;
use crate::{Error, ErrorKind, Result, duration};

/// One proxy's reference to one object, which the manager counts. Dropping it gives the reference back.
#[derive(Debug)]
pub struct Reference {
    link: Arc<Link>,
    id: ObjectId,
    kind: Kind,
    /// The process for which the manager counts this. A forked child starts without a count of its own.
    process: AtomicU32,
    /// Whether it is given back with the next write and not at once.
    is_lazy: bool,
}

/// What a proxy is: a [`Reference`] to an object of one kind.
pub trait Proxy: Sized {
    /// The kind of the object.
    const KIND: Kind;

    /// The proxy with this reference to an object of its kind. Some kinds have to ask the manager for more.
    fn from_reference(reference: Reference) -> Result<Self>;
}

/// A proxy on its way.
#[derive(Serialize, Deserialize)]
struct Travel<'a> {
    /// The address of the manager.
    #[serde(borrow)]
    address: Cow<'a, str>,
    /// The epoch of the manager.
    epoch: Epoch,
    /// The object.
    id: ObjectId,
}

impl Reference {
    /// Opens an object, or makes it. One without a name is always made.
    pub fn open(link: &Arc<Link>, name: Option<&str>, spec: Spec, mode: OpenMode) -> Result<Reference> {
        if let Some(name) = name {
            Name::check(name)?;
        }
        let link = link.here_shared()?;
        let id = link.run_here(Open { id: ObjectId(Uuid::new_v4()), name, spec, mode })?;
        Ok(Reference::adopt(Arc::clone(link), id, spec.kind()))
    }

    /// A reference that the manager has counted for this process.
    pub fn adopt(link: Arc<Link>, id: ObjectId, kind: Kind) -> Reference {
        let process = AtomicU32::new(link.process());
        Reference { link, id, kind, process, is_lazy: false }
    }

    /// The same reference, which is given back with the next write and not at once: for an object that may stay a
    /// while.
    pub(crate) fn given_back_lazily(self) -> Reference {
        let mut lazy = self;
        lazy.is_lazy = true;
        lazy
    }

    /// The object.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// The life of the manager that has the object.
    pub(crate) fn epoch(&self) -> Epoch {
        self.link.epoch()
    }

    /// The kind of the object.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The link of this process to the object's manager. In a forked child, this first has the manager count the
    /// reference for the child.
    pub fn link(&self) -> Result<&Arc<Link>> {
        let link = self.link.here_shared()?;
        let holder = self.process.load(Ordering::Relaxed);
        let here = link.process();
        if holder != here && self.exchange_process(holder, here) {
            link.send(self.attachment(link.epoch()).into_request())?;
        }
        Ok(link)
    }

    /// The process for which the manager counts this: that of the last call.
    pub(crate) fn process(&self) -> u32 {
        self.process.load(Ordering::Relaxed)
    }

    /// Sends a one-way request that gives back what this process was granted. Does nothing in another process, such as
    /// a forked child.
    pub(crate) fn give_back(&self, process: u32, body: Request<'_>) {
        if process == std::process::id()
            && let Ok(link) = self.link.in_process(process)
        {
            // If the manager is gone, so is what would be given back.
            let _ = link.send_here(body);
        }
    }

    /// Releases a lock that this process was granted, as [`give_back`](Self::give_back) does, but does not wake the
    /// manager if nobody wants the lock.
    pub(crate) fn give_back_lock(&self, process: u32, release: DeferredRelease) {
        if process == std::process::id()
            && let Ok(link) = self.link.in_process(process)
        {
            link.release_here(release);
        }
    }

    /// Makes one round trip. A refusal is an error.
    pub fn call(&self, body: Request<'_>) -> Result<Reply> {
        self.link()?.call_here(body)
    }

    /// Makes one round trip for a request that is answered with “done”.
    pub fn call_for_done(&self, body: Request<'_>) -> Result<()> {
        match self.call(body)? {
            Reply::Done => Ok(()),
            reply => Err(Unexpected::reply(reply).into()),
        }
    }

    /// Makes one round trip that carries an operation out.
    pub fn run<'a, O: Operation<'a>>(&self, operation: O) -> Result<O::Output> {
        self.link()?.run_here(operation)
    }

    /// Waits for one target and takes it. None if the timeout ended first.
    pub fn wait<'a, T: WaitTarget<'a>>(
        &self,
        target: T,
        timeout: Option<Duration>,
    ) -> Result<Option<T::Granted>> {
        self.run(wait_for(target, timeout))
    }

    /// Like [`wait`](Self::wait), and the grant stays unacknowledged while its hold lives.
    pub(crate) fn wait_with_ack_hold<'a, T: WaitTarget<'a>>(
        &self,
        target: T,
        timeout: Option<Duration>,
    ) -> Result<Option<(T::Granted, Option<AckHold>)>> {
        let (granted, ack_hold) = self.link()?.run_with_ack_hold(wait_for(target, timeout))?;
        Ok(granted.map(|granted| (granted, ack_hold)))
    }

    /// Waits for the first of two targets that is ready, and takes it.
    pub fn wait_for_either<'a, A: WaitTarget<'a>, B: WaitTarget<'a>>(
        &self,
        first: Option<A>,
        second: Option<B>,
    ) -> Result<Either<A::Granted, B::Granted>> {
        let wait = WaitForEither { first, second, timeout_ns: None, thread: thread::this_thread() };
        without_timeout(self.run(wait)?)
    }

    /// Removes the object for everyone.
    pub fn remove(&self) -> Result<()> {
        self.run(Remove { id: self.id })
    }

    /// The reference of a proxy that was serialized, in this or another process.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        kind: Kind,
        deserializer: D,
    ) -> std::result::Result<Reference, D::Error> {
        let travel = Travel::deserialize(deserializer)?;
        Reference::arrive(&travel, kind).map_err(|error| {
            carry::note_failure(&error);
            D::Error::custom(error)
        })
    }

    fn arrive(travel: &Travel<'_>, kind: Kind) -> Result<Reference> {
        let address = travel.address.parse()?;
        let link = registry::link_to_epoch(&address, travel.epoch)?;
        Reference::attach(link, travel.id, kind).map_err(|error| {
            // This process had a connection to the manager of that epoch, which has ended. If another manager serves
            // the address by now, the proxy is stale, as it is in processes that never met the first manager.
            match error.is_manager_gone().then(|| registry::check_epoch(&address, travel.epoch)) {
                Some(Err(stale)) if stale.is_stale() => stale,
                _ => error,
            }
        })
    }

    /// A reference of this process to an object that it knows by its id.
    pub(crate) fn attach(link: Arc<Link>, id: ObjectId, kind: Kind) -> Result<Reference> {
        let reference = Reference::adopt(link, id, kind);
        let attach = reference.attachment(reference.link.epoch());
        // The sender of the proxy may drop its own as soon as it learns that this one has arrived, so the manager must
        // have counted the reference before this returns, unless something else is known to keep the object alive.
        let attached = if reference.link.is_lazy() {
            reference.link.queue(attach.into_request())
        } else {
            reference.run(attach)
        };
        if attached.is_err() {
            reference.forget();
        }
        attached.map(|()| reference)
    }

    /// The operation that counts the reference for this process.
    fn attachment(&self, epoch: Epoch) -> Attach {
        Attach { id: self.id, kind: self.kind, epoch }
    }

    /// Makes this give back nothing when it is dropped, since nothing was counted.
    fn forget(&self) {
        self.process.store(0, Ordering::Relaxed);
    }

    /// Whether this thread is the one that has the reference counted for another process.
    fn exchange_process(&self, from: u32, to: u32) -> bool {
        self.process.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// A wait of this thread for one target.
pub(crate) fn wait_for<T>(target: T, timeout: Option<Duration>) -> WaitFor<T> {
    let timeout_ns = timeout.map(duration::nanoseconds);
    WaitFor { target, timeout_ns, thread: thread::this_thread() }
}

/// What a wait without a timeout took.
pub(crate) fn without_timeout<T>(taken: Option<T>) -> Result<T> {
    taken.ok_or_else(|| Error::new(ErrorKind::Other, "the manager gave up a wait that has no timeout"))
}

impl Drop for Reference {
    fn drop(&mut self) {
        if *self.process.get_mut() != std::process::id() {
            return;
        }
        let Ok(link) = self.link.here_shared() else { return };
        let request = Detach { id: self.id }.into_request();
        // If the manager is gone, so is the object.
        let _ = if self.is_lazy || link.is_lazy() { link.queue(request) } else { link.send(request) };
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        carry::note(self.link.epoch(), self.id);
        let address = Cow::Borrowed(self.link.address_text());
        Travel { address, epoch: self.link.epoch(), id: self.id }.serialize(serializer)
    }
}

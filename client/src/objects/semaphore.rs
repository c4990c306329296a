//! The semaphore: a number of permits, which processes acquire and release.

use std::sync::Arc;
use std::time::Duration;

use client_core::WaitTarget;
use client_core::operations::{PermitsTarget, SemaphoreAvailable, SemaphoreRelease};
use protocol::{Grant, Kind, Spec, Target};

use crate::objects::proxy::proxy;
use crate::objects::reference::{Reference, without_timeout};
use crate::objects::waitable::SealedWaitable;
use crate::{Manager, OpenOptions, Permit, Result, Taken};

/// A number of permits, which processes acquire and release. This is a proxy: the semaphore itself is in the manager.
///
/// A plain semaphore counts, like Python's and POSIX's: anybody may [`release`](Self::release) permits that nobody
/// acquired. A bounded one never has more than it was made with, and refuses such a release.
///
/// **Fairness.** First come, first served, even for large requests: a request for one permit does not pass an earlier
/// one for ten, so nobody starves.
///
/// **Death.** Permits are charged to the process that acquired them. When it ends without releasing them, the next
/// taker gets them at once and learns of it by [`Permit::abandoned`]; a killed process of a Python program takes its
/// permits with it forever. When a process that waits dies, its wait vanishes. When the manager dies, every call fails
/// at once ([`is_manager_gone`](crate::Error::is_manager_gone)).
///
/// A clone is the same semaphore, and so is a proxy that was serialized and deserialized, in any process of this user.
/// A wait for several objects takes one permit of a semaphore, and more by [`permits`](Self::permits).
///
/// ```no_run
/// # use client as rallypoint;
/// # fn main() -> rallypoint::Result<()> {
/// let manager = rallypoint::Manager::connect()?;
/// let downloads = manager.bounded_semaphore("downloads", 4)?;
/// let permit = downloads.acquire(1)?;
/// assert!(downloads.available()? <= 3);
/// drop(permit);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Semaphore {
    reference: Arc<Reference>,
}

proxy!(Semaphore, Kind::Semaphore);

/// A number of permits of a semaphore, to wait for together with other objects. [`Semaphore::permits`] makes it.
///
/// ```no_run
/// # use client as rallypoint;
/// # fn main() -> rallypoint::Result<()> {
/// let manager = rallypoint::Manager::connect()?;
/// let (stop, slots) = (manager.event("stop")?, manager.semaphore("slots", 8)?);
/// match rallypoint::wait_any(&[&stop, &slots.permits(3)], None)? {
///     Some((1, rallypoint::Taken::Permit(permit))) => println!("go on with {} slots", permit.permits()),
///     _ => println!("stop"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PermitRequest<'a> {
    semaphore: &'a Semaphore,
    permits: u64,
}

impl Semaphore {
    /// Acquires this many permits, all in one step, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// [`is_bad_argument`](crate::Error::is_bad_argument) for no permits, or more than a bounded semaphore ever has;
    /// [`is_removed`](crate::Error::is_removed) if the semaphore is removed meanwhile.
    pub fn acquire(&self, permits: u64) -> Result<Permit> {
        without_timeout(self.acquire_within(permits, None)?)
    }

    /// Acquires this many permits if they are available and nobody waits; none otherwise.
    ///
    /// # Errors
    ///
    /// As with [`acquire`](Self::acquire).
    pub fn try_acquire(&self, permits: u64) -> Result<Option<Permit>> {
        self.acquire_timeout(permits, Duration::ZERO)
    }

    /// Acquires this many permits. None if the timeout ends first, by the manager's monotonic clock.
    ///
    /// # Errors
    ///
    /// As with [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, permits: u64, timeout: Duration) -> Result<Option<Permit>> {
        self.acquire_within(permits, Some(timeout))
    }

    fn acquire_within(&self, permits: u64, timeout: Option<Duration>) -> Result<Option<Permit>> {
        let granted = self.reference.wait(PermitsTarget { id: self.id(), permits }, timeout)?;
        Ok(granted.map(|abandoned| self.permit(permits, abandoned)))
    }

    /// Adds this many permits without a [`Permit`] that releases them: as a signal, or in place of forgotten ones.
    ///
    /// The manager counts how many permits each process holds, and cannot distinguish added permits from held ones. So
    /// if the calling process holds permits, this counts as their release: a process that holds two, adds one by this
    /// and dies, abandons one and not two. Its `Permit`s still add as many as they have when they are dropped. If the
    /// process holds none, this first clears permits that dead processes have abandoned, and then adds.
    ///
    /// # Errors
    ///
    /// [`is_over_release`](crate::Error::is_over_release) if a bounded semaphore would have more than it was made with;
    /// [`is_bad_argument`](crate::Error::is_bad_argument) for no permits.
    pub fn release(&self, permits: u64) -> Result<()> {
        self.reference.run(SemaphoreRelease { id: self.id(), permits })
    }

    /// How many permits are available now, including abandoned ones. A request may still have to wait, if others wait
    /// for more.
    ///
    /// # Errors
    ///
    /// [`is_no_such_object`](crate::Error::is_no_such_object) if the semaphore was removed.
    pub fn available(&self) -> Result<u64> {
        self.reference.run(SemaphoreAvailable { id: self.id() })
    }

    /// This many permits, as something to wait for together with other objects.
    pub fn permits(&self, permits: u64) -> PermitRequest<'_> {
        PermitRequest { semaphore: self, permits }
    }

    /// The object itself, for the rest of the product.
    #[doc(hidden)]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// The permits that the manager granted, with the holder that abandoned some of them.
    fn permit(&self, permits: u64, abandoned: Option<protocol::Abandonment>) -> Permit {
        Permit::new(&self.reference, permits, abandoned)
    }
}

impl SealedWaitable for PermitRequest<'_> {
    fn reference(&self) -> &Reference {
        &self.semaphore.reference
    }

    fn target(&self) -> Target<'_> {
        PermitsTarget { id: self.semaphore.id(), permits: self.permits }.into_target()
    }

    fn receive(&self, grant: Grant) -> Result<Taken> {
        Ok(Taken::Permit(self.semaphore.permit(self.permits, PermitsTarget::granted(grant)?)))
    }
}

impl SealedWaitable for Semaphore {
    fn reference(&self) -> &Reference {
        &self.reference
    }

    fn target(&self) -> Target<'_> {
        PermitsTarget { id: self.id(), permits: 1 }.into_target()
    }

    fn receive(&self, grant: Grant) -> Result<Taken> {
        Ok(Taken::Permit(self.permit(1, PermitsTarget::granted(grant)?)))
    }
}

impl OpenOptions<'_, Semaphore> {
    /// Whether there must never be more permits than at first. Off by default.
    pub fn bounded(mut self, is_bounded: bool) -> Self {
        if let Spec::Semaphore { permits, .. } = self.spec {
            self.spec = Spec::Semaphore { permits, is_bounded };
        }
        self
    }
}

/// Semaphores.
impl Manager {
    /// The semaphore of this name, made now if there is none: with this many permits at first, and any number later.
    ///
    /// # Errors
    ///
    /// As with [`OpenOptions::open_or_create`]; a semaphore that was made with another number has other parameters.
    pub fn semaphore(&self, name: &str, permits: u64) -> Result<Semaphore> {
        self.semaphore_options(permits).open_or_create(name)
    }

    /// The bounded semaphore of this name, made now if there is none: with this many permits at first, and never more.
    ///
    /// # Errors
    ///
    /// As with [`semaphore`](Self::semaphore); [`is_bad_argument`](crate::Error::is_bad_argument) for no permits.
    pub fn bounded_semaphore(&self, name: &str, permits: u64) -> Result<Semaphore> {
        self.semaphore_options(permits).bounded(true).open_or_create(name)
    }

    /// A new semaphore without a name, which lives as long as there are proxies of it, or permits.
    pub fn anonymous_semaphore(&self, permits: u64) -> Result<Semaphore> {
        self.semaphore_options(permits).anonymous()
    }

    /// Options to open or make a semaphore with this many permits at first in any other way.
    pub fn semaphore_options(&self, permits: u64) -> OpenOptions<'_, Semaphore> {
        OpenOptions::new(self, Spec::Semaphore { permits, is_bounded: false })
    }
}

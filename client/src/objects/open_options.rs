//! How to open or make an object: the same for all kinds.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use protocol::{OpenMode, Spec};

use crate::connection::link::Link;
use crate::objects::reference::{Proxy, Reference};
use crate::{Manager, Result};

/// How to open or make an object, from a method of [`Manager`] such as
/// [`event_options`](Manager::event_options).
///
/// Parameters come first, then one of four ways to get a proxy. A name is 1 to 255 bytes of UTF-8 without control
/// characters; all kinds of objects share one space of names. A named object lives until it is removed or the manager
/// ends. An object without a name is known by its proxies only; it is freed when no living process has a proxy and no
/// queued task or item carries one.
///
/// ```no_run
/// # use client as rallypoint;
/// # fn main() -> rallypoint::Result<()> {
/// let manager = rallypoint::Manager::connect()?;
/// let turn = manager.event_options().auto_reset(true).create_new("turn")?;
/// let same = manager.event_options().auto_reset(true).open("turn")?;
/// let other = manager.event_options().auto_reset(true).anonymous()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "options make nothing until they are used to open or make an object"]
pub struct OpenOptions<'a, P> {
    manager: &'a Manager,
    /// The parameters, which each kind's own methods change.
    pub(crate) spec: Spec,
    proxy: PhantomData<fn() -> P>,
}

impl<'a, P: Proxy> OpenOptions<'a, P> {
    pub(crate) fn new(manager: &'a Manager, spec: Spec) -> OpenOptions<'a, P> {
        OpenOptions { manager, spec, proxy: PhantomData }
    }

    /// Opens the object of this name, or makes it if there is none.
    ///
    /// # Errors
    ///
    /// [`is_wrong_kind`](crate::Error::is_wrong_kind) or [`is_wrong_parameters`](crate::Error::is_wrong_parameters) if
    /// the object is of another kind or has other parameters, with both in the text;
    /// [`is_bad_name`](crate::Error::is_bad_name) if this is not a name; [`is_limit`](crate::Error::is_limit) if the
    /// manager has as many objects as it may.
    pub fn open_or_create(self, name: &str) -> Result<P> {
        self.get(Some(name), OpenMode::OpenOrCreate)
    }

    /// Makes an object of this name.
    ///
    /// # Errors
    ///
    /// If there is one already ([`is_already_exists`](crate::Error::is_already_exists)).
    pub fn create_new(self, name: &str) -> Result<P> {
        self.get(Some(name), OpenMode::CreateNew)
    }

    /// Opens the object of this name.
    ///
    /// # Errors
    ///
    /// If there is none ([`is_no_such_object`](crate::Error::is_no_such_object)), or as with
    /// [`open_or_create`](Self::open_or_create).
    pub fn open(self, name: &str) -> Result<P> {
        self.get(Some(name), OpenMode::Open)
    }

    /// Makes an object without a name.
    pub fn anonymous(self) -> Result<P> {
        self.get(None, OpenMode::CreateNew)
    }

    /// The link of this process to the manager.
    pub(crate) fn link(&self) -> Result<&'a Arc<Link>> {
        self.manager.link().here_shared()
    }

    fn get(self, name: Option<&str>, mode: OpenMode) -> Result<P> {
        Reference::open(self.manager.link(), name, self.spec, mode).and_then(P::from_reference)
    }
}

impl<P> fmt::Debug for OpenOptions<'_, P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("OpenOptions").field(&self.spec).finish()
    }
}

//! An item to put into a queue, as something to wait for.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use client_core::WaitTarget;
use client_core::operations::PutTarget;
use protocol::{Grant, Target};
use serde::Serialize;

use crate::objects::item::Encoded;
use crate::objects::reference::Reference;
use crate::objects::waitable::SealedWaitable;
use crate::{Result, Taken};

/// An item to put into a queue, as something to wait for. [`Queue::putting`](crate::Queue::putting) makes it.
///
/// Each wait that takes it puts the item once.
pub struct Putting<'a> {
    item: Encoded,
    queue: Arc<Reference>,
    /// This borrows the value, which keeps the objects alive whose proxies it carries.
    value: PhantomData<&'a ()>,
}

impl<'a> Putting<'a> {
    pub(crate) fn new<T: Serialize>(value: &'a T, queue: &Arc<Reference>) -> Result<Putting<'a>> {
        Ok(Putting { item: Encoded::new(value, queue)?, queue: Arc::clone(queue), value: PhantomData })
    }
}

impl fmt::Debug for Putting<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Putting({} bytes)", self.item.len())
    }
}

impl SealedWaitable for Putting<'_> {
    fn reference(&self) -> &Reference {
        &self.queue
    }

    fn target(&self) -> Target<'_> {
        self.item.target(self.queue.id()).into_target()
    }

    fn receive(&self, grant: Grant) -> Result<Taken> {
        PutTarget::granted(grant)?;
        Ok(Taken::Put)
    }
}

//! The function that every worker of a pool calls before its first task.

use std::any::Any;

use protocol::Epoch;
use serde::{Deserialize, Serialize};

use crate::task::TaskFunction;
use crate::values::carry::collect_carried_of;
use crate::values::encoding::why_not_encoded;
use crate::{Error, ErrorKind, Result};

/// What an initializer may return: nothing, or a result whose error is text or this crate's own.
///
/// A worker whose initializer returns an error cannot start.
#[diagnostic::on_unimplemented(
    message = "an initializer returns nothing, `rallypoint::Result<()>` or `Result<(), String>`, and not `{Self}`"
)]
pub trait Initialized {
    /// How the worker reads the value.
    #[doc(hidden)]
    const ANSWER: InitializerAnswer;
}

impl Initialized for () {
    const ANSWER: InitializerAnswer = InitializerAnswer::Nothing;
}

impl Initialized for Result<()> {
    const ANSWER: InitializerAnswer = InitializerAnswer::Error;
}

impl Initialized for std::result::Result<(), String> {
    const ANSWER: InitializerAnswer = InitializerAnswer::Text;
}

/// The form in which an initializer reports a failure other than a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitializerAnswer {
    /// It returns nothing.
    Nothing,
    /// With an [`Error`].
    Error,
    /// With a text.
    Text,
}

/// An initializer as a worker gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Initializer {
    /// The name of the function.
    pub function: String,
    /// Its encoded arguments.
    pub arguments: Vec<u8>,
    /// How it reports that it failed.
    pub answer: InitializerAnswer,
}

/// An initializer as a pool keeps it.
#[derive(Debug)]
pub(crate) struct PoolInitializer {
    pub(crate) initializer: Initializer,
    /// Whether the function belongs to another program.
    pub(crate) is_built_apart: bool,
    /// Proxies among the arguments keep their objects alive for workers that start later.
    pub(crate) kept: Box<dyn Any + Send>,
}

impl PoolInitializer {
    /// Encodes a call of this function, for the manager of this epoch.
    pub(crate) fn new<F, Arguments>(
        function: F,
        arguments: Arguments,
        manager: Epoch,
    ) -> Result<PoolInitializer>
    where
        F: TaskFunction<Arguments, Output: Initialized>,
        Arguments: Serialize + Send + 'static,
    {
        let (encoded, carries) = collect_carried_of(manager, || postcard::to_allocvec(&arguments));
        let encoded = encoded.map_err(|error| {
            let text = format!("the arguments of the initializer do not encode: {}", why_not_encoded(&error));
            Error::new(ErrorKind::BadEncoding, text)
        })?;
        // The pool itself keeps the objects that they carry alive, so those only have to be of this manager.
        carries?;
        let initializer = Initializer {
            function: function.name().to_owned(),
            arguments: encoded,
            answer: F::Output::ANSWER,
        };
        let is_built_apart = function.is_built_apart();
        Ok(PoolInitializer { initializer, is_built_apart, kept: Box::new(arguments) })
    }
}

//! Reasons: texts of clients for other people to read.

use alloc::string::ToString;

use protocol::{Code, Refusal};

/// Refuses a reason that is over the limit, or would garble the terminals of its readers.
pub(crate) fn check_reason(reason: &str) -> Result<(), Refusal> {
    protocol::check_reason(reason).map_err(|error| Refusal::new(Code::BadArgument, error.to_string()))
}

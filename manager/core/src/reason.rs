//! Reasons: texts of clients for other people to read.

use alloc::format;

use protocol::limits::REASON_BYTES_MAX;
use protocol::{Code, Refusal};

/// Refuses a reason that is over the limit.
pub(crate) fn check_reason(reason: &str) -> Result<(), Refusal> {
    if reason.len() > REASON_BYTES_MAX {
        let text = format!("a reason has at most {REASON_BYTES_MAX} bytes, this one has {}", reason.len());
        return Err(Refusal::new(Code::BadArgument, text));
    }
    Ok(())
}

//! How long tests wait for what must happen.

use std::time::{Duration, Instant};

/// How long a test waits for what must happen before it fails.
pub(super) const LONG: Duration = Duration::from_secs(20);

/// Asks again and again until there is an answer.
pub(super) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < LONG, "{what} did not happen within {LONG:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

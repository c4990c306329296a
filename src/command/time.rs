//! Times on the command line.

use std::time::Duration;

use protocol::shortened;

/// What times look like, for the help and for messages.
pub(super) const FORMS: &str =
    "a number and its unit, ms, s, min or h, as in 300ms or 1.5min; seconds if there is no unit";

/// Parses a number and its unit; seconds without one.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    if text.starts_with('-') {
        return Err("a time cannot be negative; 0s leaves none".to_owned());
    }
    let digits = text.find(|character: char| !character.is_ascii_digit() && character != '.');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let seconds = match unit.trim() {
        "ms" => Some(0.001),
        "" | "s" => Some(1.0),
        "m" | "min" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    };
    let Some((number, seconds)) = number.parse::<f64>().ok().zip(seconds) else {
        return Err(format!("{:?} is not a time, which is {FORMS}", shortened(text)));
    };
    Duration::try_from_secs_f64(number * seconds)
        .map_err(|_| format!("{:?} is too long a time; a day has 24h", shortened(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, milliseconds) in [
            ("5s", 5_000),
            ("7", 7_000),
            ("0.5 s", 500),
            ("300ms", 300),
            ("2min", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_forms_of_times() {
        for text in ["", "s", "x", ".", "5 parsecs", "1.2.3", "1e9s", "\x1b[31m"] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(FORMS) && !refused.contains(char::is_control), "{text}: {refused}");
        }
        assert!(parse("-1s").unwrap_err().contains("negative"));
        let long = parse(&"9".repeat(300)).unwrap_err();
        assert!(long.contains("too long"), "{long}");
    }
}

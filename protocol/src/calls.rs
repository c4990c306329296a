//! How several calls travel together: the arguments of each, or its result, preceded by their length.
//!
//! The length is an integer as everywhere in the protocol. A reader of such bytes knows how many calls they are for,
//! and checks that once, by [`fit`]; afterwards the bytes can be cut between any two calls.

use alloc::vec::Vec;

/// The most bytes that the length of one call's bytes takes.
pub const LENGTH_BYTES_MAX: usize = 10;

/// Appends the bytes of one call, preceded by their length.
pub fn append(output: &mut Vec<u8>, call: &[u8]) {
    append_length(output, call.len());
    output.extend_from_slice(call);
}

/// Appends the length of one call's bytes.
pub fn append_length(output: &mut Vec<u8>, mut length: usize) {
    while length > 0x7f {
        output.push(length as u8 | 0x80);
        length >>= 7;
    }
    output.push(length as u8);
}

/// Takes the bytes of the first call off these, without their length. None if they do not hold a whole call.
pub fn take_first<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_length(bytes)?;
    bytes.split_off(..length)
}

/// Cuts these bytes behind this many calls. `None` if they hold fewer.
pub fn split(bytes: &[u8], calls: u64) -> Option<(&[u8], &[u8])> {
    let mut rest = bytes;
    for _ in 0..calls {
        take_first(&mut rest)?;
    }
    Some(bytes.split_at(bytes.len() - rest.len()))
}

/// Whether these bytes are those of exactly this many calls.
pub fn fit(bytes: &[u8], calls: u64) -> bool {
    // Each call takes a byte at least, so this does not count far for nothing.
    calls <= bytes.len() as u64 && split(bytes, calls).is_some_and(|(_, rest)| rest.is_empty())
}

fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let first = *bytes.split_off_first()?;
    if first <= 0x7f {
        return Some(first.into());
    }
    let mut length = u64::from(first & 0x7f);
    for shift in (7..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        let part = u64::from(byte & 0x7f);
        // What a 64-bit length has no room for would be lost.
        if part << shift >> shift != part {
            return None;
        }
        length |= part << shift;
        if byte <= 0x7f {
            return usize::try_from(length).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn calls_come_back_as_they_were_appended() {
        let calls = [vec![], vec![7], vec![1; 127], vec![2; 128], vec![3; 70_000]];
        let mut bytes = Vec::new();
        calls.iter().for_each(|call| append(&mut bytes, call));
        assert!(fit(&bytes, 5) && !fit(&bytes, 4) && !fit(&bytes, 6));
        let mut rest = bytes.as_slice();
        for call in &calls {
            assert_eq!(take_first(&mut rest), Some(call.as_slice()));
        }
        assert_eq!((rest.len(), take_first(&mut rest)), (0, None));
    }

    #[test]
    fn lengths_are_integers_of_the_protocol() {
        for length in [0, 1, 127, 128, 300, 16_384, u32::MAX as usize] {
            let mut bytes = Vec::new();
            append_length(&mut bytes, length);
            assert_eq!(postcard::from_bytes::<u64>(&bytes), Ok(length as u64));
            assert_eq!(take_length(&mut bytes.as_slice()), Some(length));
        }
        assert_eq!(take_length(&mut [0x80, 0x80, 0].as_slice()), Some(0), "a longer form of the same length");
    }

    #[test]
    fn bytes_are_cut_between_calls() {
        let bytes = [0, 1, 7, 2, 8, 9];
        assert_eq!(split(&bytes, 0), Some(([].as_slice(), bytes.as_slice())));
        assert_eq!(split(&bytes, 2), Some((&bytes[..3], &bytes[3..])));
        assert_eq!(split(&bytes, 3), Some((bytes.as_slice(), [].as_slice())));
        assert_eq!(split(&bytes, 4), None);
    }

    #[test]
    fn lengths_that_nothing_has_are_refused() {
        assert!(fit(&[], 0) && !fit(&[], 1) && !fit(&[0], 0));
        assert!(!fit(&[0; 8], u64::MAX));
        assert!(!fit(&[2, 7], 1), "a byte is missing");
        assert!(!fit(&[0x80], 1), "the length does not end");
        let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert!(!fit(&longest, 1));
        assert_eq!(take_length(&mut longest.as_slice()), usize::try_from(u64::MAX).ok());
        let too_long = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(take_length(&mut too_long.as_slice()), None);
        assert_eq!(take_length(&mut [0xff; 11].as_slice()), None);
    }
}

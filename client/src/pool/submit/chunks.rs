//! How the calls of a batch are cut into chunks, and the chunks distributed among requests.

use std::sync::Arc;

use client_core::Operation;
use client_core::operations::{BatchAdd, BatchAddBlob};
use protocol::limits::{
    CALLS_PER_CHUNK_MAX, CARRIES_MAX, CARRIES_PER_REQUEST_MAX, CHUNKS_PER_REQUEST_MAX, PAYLOAD_BYTES_MAX,
};
use protocol::{Chunk, Epoch, ObjectId, Request};
use serde::Serialize;

use crate::connection::link::Link;
use crate::task::{CallError, append_value};
use crate::values::carry::collect_carried_of;
use crate::values::payload::OwnBlob;
use crate::{Error, ErrorKind, Result};

/// The bytes at which a chunk of several calls is full, so that one frame holds some of them.
const CHUNK_BYTES: usize = 1 << 20;

/// The most bytes that a frame holds for each carried proxy, and for each chunk.
const CARRIED_BYTES: usize = 17;
const CHUNK_OVERHEAD_BYTES: usize = 16;

/// Calls that travel to the manager together.
#[derive(Debug)]
pub(crate) struct EncodedChunk {
    /// The encoded arguments of each call, preceded by their length.
    arguments: Vec<u8>,
    /// The encoded arguments of the one call that it has, if they are large.
    blob: Option<OwnBlob>,
    /// How many calls.
    pub(crate) count: u32,
    /// The objects whose proxies are in the arguments.
    carries: Vec<ObjectId>,
}

/// Where encoded calls go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destination<'a> {
    /// The life of the manager.
    epoch: Epoch,
    /// The way to it; without one, large arguments are encoded like small ones.
    link: Option<&'a Arc<Link>>,
}

impl<'a> From<&'a Arc<Link>> for Destination<'a> {
    fn from(link: &'a Arc<Link>) -> Destination<'a> {
        Destination { epoch: link.epoch(), link: Some(link) }
    }
}

impl From<Epoch> for Destination<'_> {
    fn from(epoch: Epoch) -> Self {
        Destination { epoch, link: None }
    }
}

impl EncodedChunk {
    /// Encodes at most `chunk_size` of these calls, and fewer if they are large or carry many proxies. A call whose
    /// arguments become a blob is a chunk of its own, behind that of the calls before it, if there are some.
    fn encode<Arguments: Serialize>(
        calls: &[Arguments],
        chunk_size: usize,
        to: Destination<'_>,
    ) -> Result<Vec<EncodedChunk>> {
        let (encoded, carries) = collect_carried_of(to.epoch, || {
            let (mut arguments, mut count, mut blob) = (Vec::new(), 0, None);
            for call in calls.iter().take(chunk_size) {
                if arguments.len() >= CHUNK_BYTES {
                    break;
                }
                (arguments, blob) = append_value(call, arguments, to.link)?;
                if blob.is_some() {
                    break;
                }
                count += 1;
            }
            Ok((arguments, count, blob))
        });
        let (arguments, count, blob) = encoded.map_err(|error: CallError| match error {
            CallError::Room(error) => {
                Error::new(error.kind(), format!("the arguments of a task cannot travel: {error}"))
            }
            error => {
                let text = format!("the arguments of a task do not encode: {error}");
                Error::new(ErrorKind::BadEncoding, text)
            }
        })?;
        let carries: Vec<ObjectId> = carries?;
        let calls_tried = count as usize + usize::from(blob.is_some());
        // If a single call carries more than that, the manager says so.
        if carries.len() > CARRIES_MAX && calls_tried > 1 {
            let share = calls_tried * CARRIES_MAX / carries.len();
            return EncodedChunk::encode(calls, share.clamp(1, calls_tried - 1), to);
        }
        let large = blob.map(|blob| EncodedChunk {
            arguments: Vec::new(),
            blob: Some(blob),
            count: 1,
            carries: carries.clone(),
        });
        let chunk = EncodedChunk { arguments, blob: None, count, carries };
        match (chunk.frame_bytes(), chunk.count) {
            (_, 0) => Ok(large.into_iter().collect()),
            (bytes, _) if bytes <= PAYLOAD_BYTES_MAX => Ok([chunk].into_iter().chain(large).collect()),
            (bytes, 1) => Err(Error::new(
                ErrorKind::Limit,
                format!("the arguments of a task have {bytes} bytes; at most {PAYLOAD_BYTES_MAX} can travel"),
            )),
            // Only the last call can be that large, since the calls before it did not fill the chunk.
            (_, count) => EncodedChunk::encode(calls, count as usize - 1, to),
        }
    }

    /// The request that adds this chunk to a batch.
    pub(crate) fn addition(&self, batch: ObjectId) -> Request<'_> {
        match &self.blob {
            None => BatchAdd { id: batch, chunks: vec![self.as_chunk()], last: false }.into_request(),
            Some(blob) => {
                let carries = self.carries.clone();
                BatchAddBlob { id: batch, blob: blob.id, carries }.into_request()
            }
        }
    }

    /// The chunk as a batch takes it.
    fn as_chunk(&self) -> Chunk<'_> {
        Chunk { arguments: &self.arguments, carries: self.carries.clone(), calls: self.count }
    }

    /// How many bytes it takes in a frame, at most.
    fn frame_bytes(&self) -> usize {
        self.arguments.len() + self.carries.len() * CARRIED_BYTES + CHUNK_OVERHEAD_BYTES
    }
}

/// Encodes all calls. Returns an error if one of them cannot travel; nothing is sent then.
pub(crate) fn encode_chunks<'a, Arguments: Serialize>(
    calls: &[Arguments],
    chunk_size: usize,
    to: impl Into<Destination<'a>>,
) -> Result<Vec<EncodedChunk>> {
    let (chunks, fault) = encode_until_fault(calls, chunk_size, to);
    fault.map_or(Ok(chunks), Err)
}

/// Encodes all calls up to the first that cannot travel, and returns the error of that call, if there is one.
pub(crate) fn encode_until_fault<'a, Arguments: Serialize>(
    calls: &[Arguments],
    chunk_size: usize,
    to: impl Into<Destination<'a>>,
) -> (Vec<EncodedChunk>, Option<Error>) {
    let to = to.into();
    let mut chunk_size = chunk_size.clamp(1, CALLS_PER_CHUNK_MAX);
    let mut chunks = Vec::with_capacity(calls.len().div_ceil(chunk_size));
    let mut rest = calls;
    while !rest.is_empty() {
        match EncodedChunk::encode(rest, chunk_size, to) {
            Ok(encoded) => {
                rest = &rest[count(&encoded) as usize..];
                chunks.extend(encoded);
            }
            Err(error) if chunk_size == 1 => return (chunks, Some(error)),
            // The call is one of these, and those before it travel.
            Err(_) => chunk_size = 1,
        }
    }
    (chunks, None)
}

/// How many calls these chunks have.
pub(crate) fn count(chunks: &[EncodedChunk]) -> u64 {
    chunks.iter().map(|chunk| u64::from(chunk.count)).sum()
}

/// Whether one of these chunks is a blob.
pub(crate) fn have_blobs(chunks: &[EncodedChunk]) -> bool {
    chunks.iter().any(|chunk| chunk.blob.is_some())
}

/// The requests that add these chunks to a batch, in order.
pub(crate) fn additions(chunks: &[EncodedChunk], batch: ObjectId) -> impl Iterator<Item = Request<'_>> {
    let parts = chunks.chunk_by(|before, after| before.blob.is_none() && after.blob.is_none());
    parts.flat_map(move |part| {
        let large = part.first().filter(|chunk| chunk.blob.is_some());
        let small = if large.is_some() { &[] } else { part };
        let small =
            in_requests(small).map(move |chunks| BatchAdd { id: batch, chunks, last: false }.into_request());
        large.map(|chunk| chunk.addition(batch)).into_iter().chain(small)
    })
}

/// These chunks, none of which is a blob, in the groups in which requests add them to a batch. No request is much
/// larger than a chunk may be, so none has too many calls either, since each takes a byte at least; and none carries
/// more proxies than one may.
pub(crate) fn in_requests(chunks: &[EncodedChunk]) -> impl Iterator<Item = Vec<Chunk<'_>>> {
    let mut rest = chunks;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let (mut bytes, mut carries) = (first.frame_bytes(), first.carries.len());
        let more = rest[1..].iter().take(CHUNKS_PER_REQUEST_MAX - 1).take_while(|chunk| {
            bytes += chunk.frame_bytes();
            carries += chunk.carries.len();
            bytes <= CHUNK_BYTES && carries <= CARRIES_PER_REQUEST_MAX
        });
        let (now, later) = rest.split_at(1 + more.count());
        rest = later;
        Some(now.iter().map(EncodedChunk::as_chunk).collect())
    })
}

#[cfg(test)]
mod tests {
    use protocol::limits::NAME_BYTES_MAX;
    use protocol::{BatchOptions, Envelope, Request, RequestId, ThreadId, append_frame, calls};
    use uuid::Uuid;

    use super::*;
    use crate::task::read_value;
    use crate::values::carry;

    const HOME: Epoch = Epoch(Uuid::from_u128(7));

    /// The sizes of the chunks of each request.
    fn cut<Arguments: Serialize>(calls: &[Arguments], chunk_size: usize) -> Vec<Vec<u32>> {
        let chunks = encode_chunks(calls, chunk_size, HOME).unwrap();
        let mut counts = chunks.iter().map(|chunk| chunk.count);
        in_requests(&chunks)
            .map(|chunks| {
                let counts = counts.by_ref().take(chunks.len()).collect();
                assert_fits_with_all_else(chunks);
                counts
            })
            .collect()
    }

    /// Asserts that these chunks fit even into the request with the longest other fields.
    fn assert_fits_with_all_else(chunks: Vec<Chunk<'_>>) {
        let id = ObjectId(Uuid::max());
        let options = BatchOptions {
            stop: id,
            parent: Some(id),
            priority: i32::MIN,
            retries: u32::MAX,
            time_limit_ns: Some(u64::MAX),
        };
        let function = "f".repeat(NAME_BYTES_MAX);
        let body = Request::BatchRun {
            id,
            pool: id,
            function: &function,
            options,
            chunks,
            timeout_ns: Some(u64::MAX),
            thread: ThreadId(u64::MAX),
        };
        let envelope = Envelope { request: RequestId(u64::MAX), received: u64::MAX, body };
        append_frame(&mut Vec::new(), &envelope).unwrap();
    }

    #[test]
    fn calls_are_cut_into_chunks_of_the_requested_size() {
        assert_eq!(cut(&[1_u32, 2, 3, 4], 1), [[1, 1, 1, 1]]);
        assert_eq!(cut(&[1_u32, 2, 3, 4, 5], 2), [[2, 2, 1]]);
        assert_eq!(cut(&[1_u32, 2, 3], 0), [[1, 1, 1]]);
        assert_eq!(cut(&[0_u32; 0], 7), [[0_u32; 0]; 0]);
    }

    #[test]
    fn a_chunk_and_a_request_are_full_before_a_frame_is() {
        let large = "x".repeat(400 << 10);
        let calls = [large.as_str(); 7];
        assert_eq!(cut(&calls, 100), [[3], [3], [1]]);
        assert_eq!(cut(&calls, 1), [vec![1, 1], vec![1, 1], vec![1, 1], vec![1]]);
        assert_eq!(cut(&[(); 10_000], 1).iter().map(Vec::len).collect::<Vec<_>>(), [4_096, 4_096, 1_808]);
        assert_eq!(cut(&[(); 200_000], usize::MAX), [[65_536, 65_536, 65_536, 3_392]]);
    }

    #[test]
    fn a_request_is_full_of_proxies_before_it_is_full_of_bytes() {
        struct Carrying(std::ops::Range<u128>);
        impl Serialize for Carrying {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                self.0.clone().for_each(|number| carry::note(HOME, ObjectId(Uuid::from_u128(number))));
                serializer.serialize_unit()
            }
        }
        let calls: Vec<_> = (0..10).map(|_| Carrying(0..CARRIES_MAX as u128)).collect();
        let per_request = CARRIES_PER_REQUEST_MAX / CARRIES_MAX;
        assert_eq!(cut(&calls, 1), vec![vec![1; per_request]; 10 / per_request]);
    }

    #[test]
    fn small_calls_before_one_that_just_fits_go_in_a_chunk_of_their_own() {
        let just_fits = "x".repeat(PAYLOAD_BYTES_MAX - 24);
        let texts = ["a", "b", just_fits.as_str(), "c"];
        let chunks = encode_chunks(&texts, 100, HOME).unwrap();
        let counts: Vec<u32> = chunks.iter().map(|chunk| chunk.count).collect();
        assert_eq!(counts, [2, 1, 1]);
        let mut rest = chunks[0].arguments.as_slice();
        for expected in ["a", "b"] {
            assert_eq!(read_value::<String>(calls::take_first(&mut rest).unwrap()).unwrap(), expected);
        }
        // Alone in its request, which is as full as any.
        assert_eq!(cut(&texts, 100), [[2], [1], [1]]);
    }

    #[test]
    fn a_call_that_does_not_fit_a_frame_is_refused() {
        let error = encode_chunks(&["x".repeat(PAYLOAD_BYTES_MAX)], 1, HOME).unwrap_err();
        assert!(error.is_limit(), "{error:?}");
    }

    #[test]
    fn a_call_with_a_proxy_of_another_manager_is_refused() {
        struct Foreign(u128);
        impl Serialize for Foreign {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                carry::note(Epoch(Uuid::from_u128(self.0)), ObjectId(Uuid::nil()));
                serializer.serialize_unit()
            }
        }
        assert_eq!(encode_chunks(&[Foreign(7), Foreign(7)], 2, HOME).unwrap().len(), 1);
        let (chunks, fault) = encode_until_fault(&[Foreign(7), Foreign(8), Foreign(7)], 3, HOME);
        assert_eq!(chunks.len(), 1, "what came before it travels");
        assert!(fault.unwrap().is_bad_target());
    }
}

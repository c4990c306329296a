//! Input that is drawn lazily: a thread that feeds a batch from an iterator, with a window of calls whose results
//! nobody has taken yet.
//!
//! The thread draws an item only when there is room in the window, and sends it to the manager; the consumer makes room
//! by taking results. Apart from that, neither waits for the other, so a slow input delays no result that has come.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use serde::Serialize;

use crate::pool::results::submitted_batch::SubmittedBatch;
use crate::pool::submit::chunks::{EncodedChunk, encode_until_fault};
use crate::{Error, ErrorKind, Result};

/// Feeds a batch from this input, on a thread of its own.
pub(crate) fn start_feeding<Input>(batch: &Arc<SubmittedBatch>, input: Input, chunk_size: usize) -> Result<()>
where
    Input: Iterator<Item: Serialize> + Send + 'static,
{
    let fed = Arc::clone(batch);
    let feed = move || {
        // A panic unwinds only through the input, which is dropped then. The batch is not part of the program's code.
        let fault = catch_unwind(AssertUnwindSafe(|| feed(&fed, input, chunk_size)));
        match fault {
            Ok(None) => fed.finish(),
            Ok(Some(error)) => fed.cut(error),
            Err(panic) => fed.cut(input_panicked(&*panic)),
        }
    };
    let started = thread::Builder::new().name("pool input".to_owned()).spawn(feed);
    started.map(drop).map_err(|error| {
        batch.abandon();
        Error::new(ErrorKind::Other, format!("a thread that draws the input cannot be started: {error}"))
    })
}

/// Feeds a batch until the input has ended or the batch is sealed. Returns an error if the input could not be drawn to
/// its end.
fn feed<Arguments: Serialize>(
    batch: &SubmittedBatch,
    mut input: impl Iterator<Item = Arguments>,
    chunk_size: usize,
) -> Option<Error> {
    let mut drawn = 0;
    loop {
        let wanted = wait_for_room(batch, drawn, chunk_size)?;
        let mut calls = Vec::new();
        // Items before one that fails are still submitted.
        let fault = catch_unwind(AssertUnwindSafe(|| calls.extend(input.by_ref().take(wanted))));
        drawn += calls.len() as u64;
        let link = match batch.reference.link() {
            Ok(link) => link,
            Err(error) => return Some(error),
        };
        let (chunks, not_encoded) = encode_until_fault(&calls, chunk_size, link);
        for chunk in &chunks {
            match add(batch, chunk) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(error),
            }
        }
        match (not_encoded, fault) {
            (Some(error), _) => return Some(error),
            (None, Err(panic)) => return Some(input_panicked(&*panic)),
            (None, Ok(())) if calls.len() < wanted => return None,
            (None, Ok(())) => {}
        }
    }
}

fn input_panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a value that is not text");
    Error::new(ErrorKind::InputPanicked, format!("the input iterator panicked: {text}"))
}

/// Adds a chunk. Returns false if the batch is sealed.
fn add(batch: &SubmittedBatch, chunk: &EncodedChunk) -> Result<bool> {
    let mut state = batch.lock();
    if state.outcomes.is_sealed {
        return Ok(false);
    }
    // Before it is sent, since its result may come at once.
    state.outcomes.add(chunk.count);
    drop(state);
    let added = batch.reference.call_for_done(chunk.addition(batch.id()));
    let Err(error) = added else {
        return Ok(true);
    };
    let mut state = batch.lock();
    state.outcomes.take_back_last(chunk.count);
    batch.changed.notify_all();
    if state.outcomes.is_sealed { Ok(false) } else { Err(error) }
}

/// Waits until the window has room for a chunk, after this many calls were drawn. Returns how many calls it has room
/// for, at most a chunk; none if the batch takes no more.
fn wait_for_room(batch: &SubmittedBatch, drawn: u64, chunk_size: usize) -> Option<usize> {
    let mut state = batch.lock();
    loop {
        let outcomes = &state.outcomes;
        if outcomes.is_sealed || outcomes.broken.is_some() {
            return None;
        }
        let wanted = outcomes.window.min(chunk_size as u64);
        if outcomes.taken.saturating_add(outcomes.window) - drawn >= wanted {
            return Some(wanted as usize);
        }
        state = batch.sleep(state, None);
    }
}

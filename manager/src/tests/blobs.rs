//! Blobs, and peers that send something else than sealed memory.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use protocol::{Answer, BlobId, Code, FrameBuffer, Reply, Request, RequestId, decode};
use sys::descriptors::{self, Waiting};
use sys::sealed_memory::{MemoryWriter, SealedMemory};
use sys::shared_memory::anonymous_file;

use super::raw_client::RawClient;
use super::running_manager::RunningManager;

const SIZE: usize = 100_000;

/// Sealed memory of this many bytes, each of which is this one.
fn sealed(byte: u8, bytes: usize) -> OwnedFd {
    let mut writer = MemoryWriter::new().unwrap();
    writer.append(&vec![byte; bytes]).unwrap();
    writer.seal().unwrap()
}

impl RawClient {
    /// Makes a blob, without its bytes.
    fn open_blob(&mut self) -> BlobId {
        match self.call(Request::BlobOpen { bytes: SIZE as u64 }) {
            Reply::BlobOpened { blob, takes_descriptor: true } => blob,
            other => panic!("no blob: {other:?}"),
        }
    }

    /// Sends a descriptor as the memory of a blob.
    fn send_blob(&mut self, blob: BlobId, bytes: usize, descriptors: &[BorrowedFd<'_>]) -> Reply {
        let frame = self.frame(Request::BlobSend { blob, bytes: bytes as u64 });
        if descriptors.is_empty() {
            self.send_bytes(&frame);
        } else {
            let sent = descriptors::send(&self.stream, &frame, descriptors, Waiting::AsSocket).unwrap();
            assert_eq!(sent, frame.len());
        }
        self.answer().expect("the connection goes on").body
    }

    /// The memory of a blob.
    fn fetch_blob(&mut self, blob: BlobId) -> OwnedFd {
        self.send(Request::BlobFetch { blob });
        let (mut bytes, mut came) = ([0; 100], Vec::new());
        let count = descriptors::receive(&self.stream, &mut bytes, &mut came, Waiting::AsSocket).unwrap();
        let mut buffer = FrameBuffer::new(1000);
        buffer.space()[..count].copy_from_slice(&bytes[..count]);
        buffer.filled(count);
        let answer: Answer = decode(buffer.next_body().unwrap().unwrap()).unwrap();
        assert_eq!(answer.body, Reply::Shared { bytes: SIZE as u64 });
        came.pop().expect("a descriptor came")
    }
}

fn code(reply: Reply) -> Code {
    match reply {
        Reply::Refused(refusal) => refusal.code,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn memory_comes_back_as_it_was_sent() {
    let manager = RunningManager::start();
    let mut peer = manager.session();
    let blob = peer.open_blob();
    assert_eq!(peer.send_blob(blob, SIZE, &[sealed(7, SIZE).as_fd()]), Reply::Done);
    for _ in 0..3 {
        let mapped = SealedMemory::map(peer.fetch_blob(blob), SIZE as u64).unwrap();
        assert_eq!((mapped.len(), mapped[0], mapped[SIZE - 1]), (SIZE, 7, 7));
    }
    let piece = peer.call(Request::BlobRead { blob, offset: SIZE as u64 - 3, most: 100 });
    assert_eq!(piece, Reply::Piece([7; 3].as_slice().into()));
    assert_eq!(peer.call(Request::BlobClose { blob }), Reply::Done);
    assert_eq!(code(peer.call(Request::BlobFetch { blob })), Code::BadArgument);
}

#[test]
fn what_is_not_sealed_memory_of_the_announced_size_is_refused() {
    let manager = RunningManager::start();
    let mut peer = manager.session();
    let blob = peer.open_blob();
    let mut open = anonymous_file("unsealed").unwrap();
    open.write_all(&[0; SIZE]).unwrap();
    let null = File::open("/dev/null").unwrap();
    let (short, long) = (sealed(0, SIZE - 1), sealed(0, SIZE + 1));
    let socket = peer.stream.try_clone().unwrap();
    for descriptor in [open.as_fd(), null.as_fd(), short.as_fd(), long.as_fd(), socket.as_fd()] {
        assert_eq!(code(peer.send_blob(blob, SIZE, &[descriptor])), Code::BadArgument);
    }
    assert_eq!(code(peer.send_blob(blob, SIZE, &[])), Code::LimitReached, "none came");
    assert_eq!(code(peer.send_blob(BlobId(77), SIZE, &[sealed(0, SIZE).as_fd()])), Code::BadArgument);
    assert_eq!(code(peer.send_blob(blob, SIZE, &[])), Code::LimitReached, "it went with the other");
    assert_eq!(code(peer.call(Request::BlobFetch { blob })), Code::BadArgument, "it has no bytes yet");
    assert_eq!(peer.send_blob(blob, SIZE, &[sealed(1, SIZE).as_fd()]), Reply::Done);
    assert_eq!(code(peer.send_blob(blob, SIZE, &[sealed(2, SIZE).as_fd()])), Code::BadArgument);
    assert_eq!(SealedMemory::map(peer.fetch_blob(blob), SIZE as u64).unwrap()[0], 1);
}

#[test]
fn pieces_take_the_place_of_memory_that_does_not_come() {
    let manager = RunningManager::start();
    let mut peer = manager.session();
    let blob = peer.open_blob();
    let halves = [vec![1; SIZE / 2], vec![2; SIZE / 2]];
    for (number, half) in halves.iter().enumerate() {
        let (offset, last) = ((number * SIZE / 2) as u64, number == 1);
        assert_eq!(peer.call(Request::BlobWrite { blob, offset, bytes: half, last }), Reply::Done);
    }
    assert_eq!(code(peer.call(Request::BlobFetch { blob })), Code::LimitReached);
    let read = |peer: &mut RawClient, offset| peer.call(Request::BlobRead { blob, offset, most: 2 });
    assert_eq!(read(&mut peer, SIZE as u64 / 2 - 1), Reply::Piece([1, 2].as_slice().into()));
    assert_eq!(read(&mut peer, SIZE as u64 - 1), Reply::Piece([2].as_slice().into()));
    assert_eq!(read(&mut peer, u64::MAX), Reply::Piece([].as_slice().into()));
}

#[test]
fn descriptors_that_nobody_asked_for_are_closed() {
    let manager = RunningManager::start();
    let (mut peer, mut witness) = (manager.session(), manager.session());
    peer.open_blob();
    let mut readers = Vec::new();
    for _ in 0..50 {
        let (reader, writer) = std::io::pipe().unwrap();
        let frame = peer.frame(Request::Cancel { request: RequestId(0) });
        descriptors::send(&peer.stream, &frame, &[writer.as_fd(); 4], Waiting::AsSocket).unwrap();
        assert_eq!(peer.answer().unwrap().body, Reply::Done);
        readers.push(reader);
    }
    // The last one could still be claimed.
    let (last, others) = readers.split_last_mut().unwrap();
    for reader in others {
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "the manager has closed it");
    }
    assert_eq!(witness.call(Request::Cancel { request: RequestId(0) }), Reply::Done);
    drop(peer);
    assert_eq!(last.read(&mut [0]).unwrap(), 0);
}

#[test]
fn the_memory_of_the_dead_is_freed() {
    let manager = RunningManager::start();
    let mut peer = manager.session();
    let memory = sealed(7, SIZE);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let blob = peer.open_blob();
    assert_eq!(peer.send_blob(blob, SIZE, &[memory.as_fd()]), Reply::Done);
    let other = peer.open_blob();
    // A pipe is no memory, but a descriptor whose end shows.
    assert_eq!(code(peer.send_blob(other, SIZE, &[writer.as_fd()])), Code::BadArgument);
    drop(writer);
    assert_eq!(reader.read(&mut [0]).unwrap(), 0, "the manager has closed it");
    drop(peer);
    let mut next = manager.session();
    assert_eq!(code(next.call(Request::BlobFetch { blob })), Code::BadArgument);
}

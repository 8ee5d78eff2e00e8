//! Bytes that can be checked, and services that are easy to talk to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::JoinHandle;

use crate::harness::DEADLINE;

/// Bytes that no shift, loss or repetition leaves the same.
pub struct Pattern(u64);

impl Pattern {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn fill(&mut self, buffer: &mut [u8]) {
        for word in buffer.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let bytes = self.0.to_ne_bytes();
            word.copy_from_slice(&bytes[..word.len()]);
        }
    }
}

const PIECE: usize = 64 * 1024;

/// Sends so many bytes of a pattern, and ends.
pub fn send(mut to: &TcpStream, seed: u64, total: usize) {
    let (mut pattern, mut buffer) = (Pattern::new(seed), vec![0; PIECE]);
    for _ in 0..total / PIECE {
        pattern.fill(&mut buffer);
        to.write_all(&buffer).unwrap();
    }
    to.shutdown(Shutdown::Write).unwrap();
}

/// Receives and checks so many bytes of a pattern, and the end.
pub fn receive(mut from: &TcpStream, seed: u64, total: usize) {
    let (mut pattern, mut buffer, mut want) = (Pattern::new(seed), vec![0; PIECE], vec![0; PIECE]);
    for piece in 0..total / PIECE {
        from.read_exact(&mut buffer).unwrap();
        pattern.fill(&mut want);
        assert!(buffer == want, "piece {piece} differs");
    }
    assert_eq!(from.read(&mut buffer).unwrap(), 0, "the end");
}

/// Accepts one connection, with deadlines.
pub fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Answers each of so many connections with what it sends, after its end.
pub fn echo(listener: TcpListener, connections: usize) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for _ in 0..connections {
            let mut stream = accept(&listener);
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
        }
    })
}

/// Says something, and returns the answer.
pub fn ask(mut stream: &TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

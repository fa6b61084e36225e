//! One TCP connection (RFC 7766): messages with a length before each, answered in order. Generic over the
//! stream, so that tests need no socket; bounded in what it buffers and in what it does in one turn.
//!
//! It buffers at most one message (64 KiB), and never more than twice what of it has come; replies of 16 KiB
//! and one more (64 KiB).
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

const LENGTH_BYTES: usize = 2;
const FIRST_READ_BYTES: usize = 4096;
const OUTPUT_HIGH_BYTES: usize = 16 << 10; // with so much unsent, no more is answered or read
const OUTPUT_KEPT_BYTES: usize = 4 << 10; // of a connection that waits
const QUERIES_PER_TURN: usize = 64;

/// What a connection does next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Waits for the stream to become readable or writable.
    Wait,
    /// Has more to do, after the others had their turn.
    Again,
    /// Is at its end.
    Close,
}

/// A connection and what of it is still to be answered or sent.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    input: Vec<u8>,
    filled: usize,
    output: Vec<u8>,
    sent: usize,
    is_ending: bool,
    has_asked: bool,
    began: Instant,
    progressed: Instant,
}

impl<S: Read + Write> Connection<S> {
    pub(super) fn new(stream: S, now: Instant) -> Self {
        Self {
            stream,
            input: Vec::new(),
            filled: 0,
            output: Vec::new(),
            sent: 0,
            is_ending: false,
            has_asked: false,
            began: now,
            progressed: now,
        }
    }

    /// When last a whole query came or all replies were taken: octets by themselves are no progress, so that
    /// slow peers gain nothing by them.
    pub(super) fn progressed(&self) -> Instant {
        self.progressed
    }

    /// Whether a whole query has ever come.
    pub(super) fn has_asked(&self) -> bool {
        self.has_asked
    }

    /// How long it has been there.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// Whether all that has come was answered, and sent.
    pub(super) fn is_settled(&self) -> bool {
        self.filled == 0 && self.sent == self.output.len()
    }

    /// Octets that its buffers take.
    #[cfg(test)]
    pub(super) fn buffered_bytes(&self) -> usize {
        self.input.capacity() + self.output.capacity()
    }

    /// The stream, to be registered or closed.
    pub(super) fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Sends, answers and reads as far as the stream goes. `answer` appends the reply to a message; it
    /// returns false where there is none to give, which ends the connection.
    pub(super) fn turn(
        &mut self,
        now: Instant,
        answer: &mut impl FnMut(&[u8], &mut Vec<u8>) -> bool,
    ) -> Next {
        let mut budget = QUERIES_PER_TURN;
        loop {
            if let Some(next) = self.send(now) {
                return next;
            }
            if self.is_ending {
                return Next::Close;
            }
            if budget == 0 {
                return Next::Again;
            }
            if self.answer_input(now, &mut budget, answer) {
                continue;
            }
            match self.stream.read(&mut self.input[self.filled..]) {
                Ok(0) => self.is_ending = true,
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Next::Wait,
                Err(_) => return Next::Close,
            }
        }
    }

    /// Sends what is there; says what is next unless all is sent.
    fn send(&mut self, now: Instant) -> Option<Next> {
        while self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(0) => return Some(Next::Close),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(Next::Wait),
                Err(_) => return Some(Next::Close),
            }
            if self.sent == self.output.len() {
                self.progressed = now;
            }
        }
        self.output.clear();
        self.output.shrink_to(OUTPUT_KEPT_BYTES);
        self.sent = 0;
        None
    }

    /// Answers the whole messages read so far, and makes room for more. Returns whether there is anything to
    /// send, or no more to be read.
    fn answer_input(
        &mut self,
        now: Instant,
        budget: &mut usize,
        answer: &mut impl FnMut(&[u8], &mut Vec<u8>) -> bool,
    ) -> bool {
        let mut start = 0;
        while let Some(message) = whole_message(&self.input[start..self.filled]) {
            if *budget == 0 || self.output.len() >= OUTPUT_HIGH_BYTES || self.is_ending {
                break;
            }
            *budget -= 1;
            (self.has_asked, self.progressed) = (true, now);
            let length_at = self.output.len();
            self.output.extend_from_slice(&[0; LENGTH_BYTES]);
            if answer(message, &mut self.output) {
                let length = (self.output.len() - length_at - LENGTH_BYTES) as u16;
                self.output[length_at..length_at + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
            } else {
                self.output.truncate(length_at);
                self.is_ending = true;
            }
            start += LENGTH_BYTES + message.len();
        }
        self.input.copy_within(start..self.filled, 0);
        self.filled -= start;
        let has_message = whole_message(&self.input[..self.filled]).is_some();
        self.make_room();
        !self.output.is_empty() || self.is_ending || has_message
    }

    /// Room for the message that has begun, but no more than has come of it: a length is only a claim.
    fn make_room(&mut self) {
        let begun = self.input[..self.filled].first_chunk().map_or(0, |&length| u16::from_be_bytes(length));
        let room = (LENGTH_BYTES + usize::from(begun)).min(2 * self.filled);
        self.input.resize(room.max(FIRST_READ_BYTES), 0);
        self.input.shrink_to(FIRST_READ_BYTES);
    }
}

/// The message at the start of the input, without its length, if it is whole.
fn whole_message(input: &[u8]) -> Option<&[u8]> {
    let (length, rest) = input.split_first_chunk()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

//! One client's conversation: bytes in, calls out, answers in, bytes out, and never more held than
//! the limits of a request. Pure; what moves the bytes, and when it loses patience, is the relay's.

use super::Call;
use super::answer::{Answer, Then};
use super::request::{MAX_BODY, MAX_HEAD, Parsed, parse};

/// Where a conversation stands.
#[derive(Debug, Default)]
pub struct Exchange {
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    stage: Stage,
    /// A word was sent to a client that waits for it.
    continued: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// The last answer is on its way.
    Closing,
    /// The answer to a call is not known yet; it decides over the connection thus.
    Parked(Then),
    #[default]
    Reading,
}

/// What has to happen next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A call is to be answered, by [`Exchange::answer`] now or after [`Exchange::park`].
    Answer(Call, Then),
    /// The connection is over.
    Close,
    /// At most so many bytes are to be read; at least one.
    Read(usize),
    /// What [`Exchange::outbox`] holds is to be sent.
    Send,
    /// The parked call is to be answered.
    Wait,
}

impl Exchange {
    /// Reads as far as it can. Nothing is read before the answer to what came before is sent: a
    /// client that takes no answers fills no memory.
    pub fn advance(&mut self) -> Next {
        if !self.outbox.is_empty() {
            return Next::Send;
        }
        match self.stage {
            Stage::Closing => return Next::Close,
            Stage::Parked(_) => return Next::Wait,
            Stage::Reading => {}
        }
        match parse(&self.inbox) {
            Parsed::Request(request) => {
                let (call, then) = (Call::parse(&request), request.then);
                let length = request.length;
                self.inbox.drain(..length);
                self.continued = false;
                match call {
                    Ok(call) => return Next::Answer(call, then),
                    Err(answer) => self.answer(&answer, then),
                }
            }
            Parsed::Refused(answer) => self.answer(&answer, Then::Close),
            Parsed::Incomplete { waits_for_continue } if waits_for_continue && !self.continued => {
                self.continued = true;
                self.outbox.extend(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            // What is incomplete is shorter than the longest request.
            Parsed::Incomplete { .. } => {
                return Next::Read((MAX_HEAD + MAX_BODY).saturating_sub(self.inbox.len()));
            }
        }
        Next::Send
    }

    /// Takes what was read.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.inbox.extend(bytes);
    }

    /// Answers a call.
    pub fn answer(&mut self, answer: &Answer, then: Then) {
        self.outbox.extend(answer.bytes(then));
        self.stage = match then {
            Then::Close => Stage::Closing,
            Then::KeepAlive => Stage::Reading,
        };
    }

    /// The answer will come later.
    pub fn park(&mut self, then: Then) {
        self.stage = Stage::Parked(then);
    }

    /// What the parked request said about the connection.
    #[must_use]
    pub fn parked(&self) -> Option<Then> {
        match self.stage {
            Stage::Parked(then) => Some(then),
            Stage::Closing | Stage::Reading => None,
        }
    }

    /// What is to be sent.
    #[must_use]
    pub fn outbox(&self) -> &[u8] {
        &self.outbox
    }

    /// So many bytes of it were sent.
    pub fn sent(&mut self, count: usize) {
        self.outbox.drain(..count.min(self.outbox.len()));
    }

    /// Whether the beginning of a request is here.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Whether a request may begin or go on, and no answer is under way.
    #[must_use]
    pub fn reading(&self) -> bool {
        self.stage == Stage::Reading
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_still_coming_always_has_room() {
        let mut exchange = Exchange::default();
        let head = format!("POST /v1/ports HTTP/1.1\r\nContent-Length: {MAX_BODY}\r\nX: ");
        exchange.receive(head.as_bytes());
        exchange.receive("x".repeat(MAX_HEAD - head.len() - 4).as_bytes());
        exchange.receive(b"\r\n\r\n");
        for left in (1..=MAX_BODY / 512).rev() {
            assert_eq!(exchange.advance(), Next::Read(left * 512));
            exchange.receive(&[b' '; 512]);
        }
        assert_eq!(
            exchange.advance(),
            Next::Send,
            "the refusal of an empty body"
        );
        assert!(!exchange.has_begun());
    }

    #[test]
    fn nothing_is_read_while_an_answer_is_under_way() {
        let mut exchange = Exchange::default();
        exchange.receive(b"GET /v1/info HTTP/1.1\r\n\r\nGET /v1/info HTTP/1.0\r\n\r\n");
        assert_eq!(
            exchange.advance(),
            Next::Answer(Call::Info, Then::KeepAlive)
        );
        exchange.park(Then::KeepAlive);
        assert_eq!(exchange.advance(), Next::Wait);
        exchange.answer(&Answer::done(), Then::KeepAlive);
        while !exchange.outbox().is_empty() {
            assert_eq!(exchange.advance(), Next::Send);
            exchange.sent(1);
        }
        assert_eq!(exchange.advance(), Next::Answer(Call::Info, Then::Close));
        exchange.answer(&Answer::done(), Then::Close);
        exchange.sent(usize::MAX);
        assert_eq!(exchange.advance(), Next::Close);
    }
}

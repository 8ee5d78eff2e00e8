//! One client of the API: its bytes, and when it is too slow.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::rootless::ports::api::Call;
use crate::rootless::ports::api::answer::{Answer, Then};
use crate::rootless::ports::api::request::{MAX_BODY, MAX_HEAD, Parsed, parse};

/// A request must be complete, and an answer be fetched, within this time. A connection on which
/// nothing is under way lives on: closing it could meet a request that is just being sent, and
/// Go's client would not send a POST again.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A client, and where its request stands.
#[derive(Debug)]
pub(super) struct Conn {
    socket: OwnedFd,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    stage: Stage,
    /// Since when something is under way.
    busy: Option<Instant>,
    /// A word was sent to a client that waits for it.
    continued: bool,
    gone: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The last answer is on its way.
    Closing,
    /// The bind service was asked; the answer decides over the connection thus.
    Parked(Then),
    Reading,
}

/// What a connection needs.
#[derive(Debug)]
pub(super) enum Need {
    /// An answer to this call.
    Answer(Call, Then),
    /// To be closed.
    Close,
    /// Nothing, until the next event.
    Nothing,
}

impl Conn {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            inbox: Vec::new(),
            outbox: Vec::new(),
            stage: Stage::Reading,
            busy: None,
            continued: false,
            gone: false,
        }
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Goes on after an event or an answer.
    pub(super) fn advance(&mut self, now: Instant) -> Need {
        loop {
            if !self.flush() {
                return Need::Close;
            }
            if !self.outbox.is_empty() {
                self.busy.get_or_insert(now);
                return Need::Nothing;
            }
            match self.stage {
                Stage::Closing => return Need::Close,
                Stage::Parked(_) => return Need::Nothing,
                Stage::Reading => {}
            }
            match parse(&self.inbox) {
                Parsed::Request(request) => {
                    let (call, then) = (Call::parse(&request), request.then);
                    let length = request.length;
                    self.inbox.drain(..length);
                    self.continued = false;
                    match call {
                        Ok(call) => return Need::Answer(call, then),
                        Err(answer) => self.answer(&answer, then),
                    }
                }
                Parsed::Refused(answer) => self.answer(&answer, Then::Close),
                Parsed::Incomplete { waits_for_continue } => {
                    if waits_for_continue && !self.continued {
                        self.continued = true;
                        self.outbox.extend(b"HTTP/1.1 100 Continue\r\n\r\n");
                        continue;
                    }
                    match self.read() {
                        Read::More => {}
                        Read::Nothing => {
                            if self.inbox.is_empty() {
                                self.busy = None;
                            } else {
                                self.busy.get_or_insert(now);
                            }
                            return Need::Nothing;
                        }
                        Read::End => return Need::Close,
                    }
                }
            }
        }
    }

    /// Puts an answer into the outbox; [`Self::advance`] sends it.
    pub(super) fn answer(&mut self, answer: &Answer, then: Then) {
        self.outbox.extend(answer.bytes(then));
        self.stage = match then {
            Then::Close => Stage::Closing,
            Then::KeepAlive => Stage::Reading,
        };
    }

    /// Waits for the bind service. The client has done its part, and may take its time.
    pub(super) fn park(&mut self, then: Then) {
        self.stage = Stage::Parked(then);
        self.busy = None;
    }

    /// What the parked request said about the connection.
    pub(super) fn parked(&self) -> Option<Then> {
        match self.stage {
            Stage::Parked(then) => Some(then),
            Stage::Closing | Stage::Reading => None,
        }
    }

    /// Remembers that the client has closed its side for good: it fetches no answer any more.
    pub(super) fn hang_up(&mut self) {
        self.gone = true;
    }

    /// Whether it did.
    pub(super) fn gone(&self) -> bool {
        self.gone
    }

    /// Until when what is under way must be done.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.busy.map(|since| since + PATIENCE)
    }

    /// Whether nothing is under way.
    pub(super) fn idle(&self) -> bool {
        self.busy.is_none() && self.stage == Stage::Reading
    }

    /// Sends what the client takes; false when it is gone.
    fn flush(&mut self) -> bool {
        while !self.outbox.is_empty() {
            match rustix::net::send(&self.socket, &self.outbox, SendFlags::NOSIGNAL) {
                Ok(count) => drop(self.outbox.drain(..count.min(self.outbox.len()))),
                Err(Errno::AGAIN) => return true,
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn read(&mut self) -> Read {
        let mut buffer = [0; 4096];
        // `parse` has an opinion on anything longer.
        if self.inbox.len() > MAX_HEAD + MAX_BODY {
            return Read::End;
        }
        match rustix::io::read(&self.socket, &mut buffer[..]) {
            Ok(0) => Read::End,
            Ok(count) => {
                self.inbox.extend(buffer.get(..count).unwrap_or_default());
                Read::More
            }
            Err(Errno::AGAIN) => Read::Nothing,
            Err(Errno::INTR) => Read::More,
            Err(_) => Read::End,
        }
    }
}

enum Read {
    End,
    More,
    Nothing,
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    fn pair() -> (OwnedFd, Conn) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (client, server) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        (client, Conn::new(server))
    }

    fn send(client: &OwnedFd, text: &str) {
        rustix::io::write(client, text.as_bytes()).unwrap();
    }

    fn received(client: &OwnedFd) -> String {
        let mut buffer = [0; 4096];
        let count = rustix::io::read(client, &mut buffer[..]).unwrap_or(0);
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    #[test]
    fn requests_are_answered_in_order_though_they_come_at_once() {
        let (client, mut conn) = pair();
        let now = Instant::now();
        send(
            &client,
            "GET /v1/info HTTP/1.1\r\n\r\nGET /x HTTP/1.1\r\n\r\nGET /v1/ports HTTP/1.1\r\nConn",
        );
        assert!(matches!(
            conn.advance(now),
            Need::Answer(Call::Info, Then::KeepAlive)
        ));
        conn.answer(&Answer::removed(), Then::KeepAlive);
        assert!(matches!(conn.advance(now), Need::Nothing));
        let text = received(&client);
        assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
        assert!(text.ends_with("404 page not found\n"), "{text}");
        send(&client, "ection: close\r\n\r\n");
        assert!(matches!(
            conn.advance(now),
            Need::Answer(Call::List, Then::Close)
        ));
        conn.answer(&Answer::removed(), Then::Close);
        assert!(matches!(conn.advance(now), Need::Close));
        assert!(received(&client).contains("Connection: close\r\n"));
    }

    #[test]
    fn only_what_is_under_way_has_a_deadline() {
        let (client, mut conn) = pair();
        let start = Instant::now();
        assert!(matches!(conn.advance(start), Need::Nothing));
        assert_eq!((conn.deadline(), conn.idle()), (None, true));
        send(&client, "POST /v1/ports HTTP/1.1\r\nContent-Length: 4\r\n");
        assert!(matches!(conn.advance(start), Need::Nothing));
        send(&client, "\r\nnu");
        let later = start + Duration::from_secs(5);
        assert!(matches!(conn.advance(later), Need::Nothing));
        assert_eq!(
            (conn.deadline(), conn.idle()),
            (Some(start + PATIENCE), false)
        );
        send(&client, "ll");
        assert!(matches!(conn.advance(later), Need::Nothing));
        assert_eq!((conn.deadline(), conn.idle()), (None, true));
        assert!(received(&client).contains("unknown proto"));
    }

    #[test]
    fn a_client_that_waits_for_a_word_gets_it_once() {
        let (client, mut conn) = pair();
        let now = Instant::now();
        send(
            &client,
            "POST /v1/ports HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        );
        assert!(matches!(conn.advance(now), Need::Nothing));
        assert!(matches!(conn.advance(now), Need::Nothing));
        assert_eq!(received(&client), "HTTP/1.1 100 Continue\r\n\r\n");
    }

    #[test]
    fn what_is_no_request_is_answered_and_ends_the_connection() {
        let (client, mut conn) = pair();
        send(&client, "\x16\x03\x01");
        assert!(matches!(conn.advance(Instant::now()), Need::Close));
        assert!(received(&client).starts_with("HTTP/1.1 400 Bad Request\r\n"));
        let (client, mut conn) = pair();
        drop(client);
        assert!(matches!(conn.advance(Instant::now()), Need::Close));
    }
}

//! One client of the API: its bytes, and when it is too slow.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::ports::api::Call;
use crate::ports::api::answer::{Answer, Then};
use crate::ports::api::exchange::{Exchange, Next};

/// A request must be complete, and an answer be fetched, within this time. A connection on which
/// nothing is under way lives on: closing it could meet a request that is just being sent, and
/// Go's client would not send a POST again.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// A client, and where its request stands.
#[derive(Debug)]
pub(super) struct Conn {
    socket: OwnedFd,
    exchange: Exchange,
    /// Since when something is under way.
    busy: Option<Instant>,
    gone: bool,
}

/// What a connection needs.
#[derive(Debug)]
pub(super) enum Need {
    Answer(Call, Then),
    Close,
    /// Nothing, until the next event.
    Nothing,
}

impl Conn {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            exchange: Exchange::default(),
            busy: None,
            gone: false,
        }
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Goes on after an event or an answer.
    pub(super) fn advance(&mut self, now: Instant) -> Need {
        loop {
            match self.exchange.advance() {
                Next::Answer(call, then) => return Need::Answer(call, then),
                Next::Close => return Need::Close,
                Next::Wait => return Need::Nothing,
                Next::Send => match self.send() {
                    Moved::Some => {}
                    Moved::Nothing => {
                        self.busy.get_or_insert(now);
                        return Need::Nothing;
                    }
                    Moved::End => return Need::Close,
                },
                Next::Read(most) => match self.read(most) {
                    Moved::Some => {}
                    Moved::Nothing => {
                        if self.exchange.has_begun() {
                            self.busy.get_or_insert(now);
                        } else {
                            self.busy = None;
                        }
                        return Need::Nothing;
                    }
                    Moved::End => return Need::Close,
                },
            }
        }
    }

    /// Puts an answer into the outbox; [`Self::advance`] sends it.
    pub(super) fn answer(&mut self, answer: &Answer, then: Then) {
        self.exchange.answer(answer, then);
    }

    /// Waits for the bind service. The client has done its part, and may take its time.
    pub(super) fn park(&mut self, then: Then) {
        self.exchange.park(then);
        self.busy = None;
    }

    /// What the parked request said about the connection.
    pub(super) fn parked(&self) -> Option<Then> {
        self.exchange.parked()
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
        self.busy.map(|since| since + TIMEOUT)
    }

    /// Whether nothing is under way.
    pub(super) fn idle(&self) -> bool {
        self.busy.is_none() && self.exchange.reading()
    }

    /// Sends what the client takes.
    fn send(&mut self) -> Moved {
        match rustix::net::send(&self.socket, self.exchange.outbox(), SendFlags::NOSIGNAL) {
            Ok(count) => {
                self.exchange.sent(count);
                Moved::Some
            }
            Err(Errno::AGAIN) => Moved::Nothing,
            Err(Errno::INTR) => Moved::Some,
            Err(_) => Moved::End,
        }
    }

    fn read(&mut self, most: usize) -> Moved {
        let mut buffer = [0; 4096];
        let most = most.min(buffer.len());
        match rustix::io::read(&self.socket, buffer.get_mut(..most).unwrap_or_default()) {
            Ok(0) => Moved::End,
            Ok(count) => {
                self.exchange
                    .receive(buffer.get(..count).unwrap_or_default());
                Moved::Some
            }
            Err(Errno::AGAIN) => Moved::Nothing,
            Err(Errno::INTR) => Moved::Some,
            Err(_) => Moved::End,
        }
    }
}

/// What became of a transfer.
enum Moved {
    /// The client is gone.
    End,
    /// Not now.
    Nothing,
    /// Something, or it is to be tried again.
    Some,
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
        conn.answer(&Answer::done(), Then::KeepAlive);
        assert!(matches!(conn.advance(now), Need::Nothing));
        let text = received(&client);
        assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
        assert!(text.ends_with("404 page not found\n"), "{text}");
        send(&client, "ection: close\r\n\r\n");
        assert!(matches!(
            conn.advance(now),
            Need::Answer(Call::List, Then::Close)
        ));
        conn.answer(&Answer::done(), Then::Close);
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
            (Some(start + TIMEOUT), false)
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

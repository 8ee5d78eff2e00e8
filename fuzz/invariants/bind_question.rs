//! What PID 1 makes of a message of the relay, whatever the relay has become.

use dind_init::config::rootless::port::Transport;
use dind_init::ports::bind::{Ask, BindService, pair};
use rustix::net::{RecvFlags, SendFlags};
use std::cell::OnceCell;
use std::os::fd::OwnedFd;

/// PID 1 reads no more of a message.
const MOST: usize = 1024;

/// One message.
pub fn check(message: &[u8]) {
    let read = &message[..message.len().min(MOST)];
    let ask: Option<Ask> = std::str::from_utf8(read)
        .ok()
        .and_then(|text| text.parse().ok());
    if let Some(ask) = ask {
        assert_ne!(ask.proto.transport, Transport::Sctp);
        let line = ask.to_string();
        assert_eq!(line.parse(), Ok(ask), "{line}");
        assert!(line.len() < MOST);
        assert_eq!(line.split(' ').count(), 4, "{line}");
    }
    // A question that can be granted would bind a port of this machine.
    if !message.is_empty() && ask.is_none_or(|ask| !ask.family_fits()) {
        refused(message);
    }
}

/// The service says no in one message, with a text and without a descriptor, and goes on.
fn refused(message: &[u8]) {
    thread_local!(static PAIR: OnceCell<(BindService, OwnedFd)> = const { OnceCell::new() });
    PAIR.with(|both| {
        let (service, client) = both.get_or_init(|| {
            let (service, client) = pair().expect("a socket pair");
            (service, client.into())
        });
        rustix::net::send(client, message, SendFlags::empty()).expect("to ask");
        service.answer().expect("the service goes on");
        let mut answer = [0; 2 * MOST];
        let (_, length) =
            rustix::net::recv(client, &mut answer[..], RecvFlags::TRUNC).expect("an answer");
        assert!((2..=MOST).contains(&length), "{length}");
        assert_eq!(answer[0], b'-');
        let text = std::str::from_utf8(&answer[1..length]).expect("a text");
        assert!(!text.contains('\n'), "{text:?}");
        let more = rustix::net::recv(client, &mut answer[..], RecvFlags::DONTWAIT);
        assert_eq!(more.err(), Some(rustix::io::Errno::AGAIN), "one answer");
    });
}

//! The programs of `integration/bench/ports`: the relay without a launcher, an echo service, and
//! two probes. Not part of the product.
#![allow(
    clippy::disallowed_methods,
    clippy::exit,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench stops loudly"
)]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dind_init::config::rootless::ChildSide;
use dind_init::config::rootless::port::PortSpec;
use dind_init::ports::api::info::{Info, NetworkDriver};
use dind_init::ports::bind::{Asker, pair};
use dind_init::ports::{Setup, SourceAddresses, listen_api, run};
use rustix::event::{PollFd, PollFlags, poll};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["relay", netns, state, ports] => relay(netns, Path::new(state), ports),
        ["serve", at] => serve(at),
        ["connect", to, seconds] => connect(to, seconds.parse().unwrap()),
        ["rtt", to, count] => rtt(to, count.parse().unwrap()),
        _ => panic!(
            "relay NETNS STATE PORTS | serve ADDRESS | connect ADDRESS SECONDS | rtt ADDRESS COUNT"
        ),
    }
}

/// PID 1's part in this namespace, the relay in the other, in two threads of one process.
fn relay(netns: &str, state: &Path, ports: &str) {
    let (service, binds) = pair().unwrap();
    let (ready, tell) = rustix::pipe::pipe().unwrap();
    let network = NetworkDriver {
        driver: "none".to_owned(),
        dns: Vec::new(),
        child_ip: None,
        dynamic_child_ip: false,
        ipv6: false,
    };
    let setup = Setup {
        info: Info::new(PathBuf::from(state), 1, network, Some(ChildSide::Loopback)),
        api: listen_api(&state.join("api.sock")).unwrap(),
        binds,
        publish: PortSpec::parse_list(ports).unwrap(),
        source_addresses: SourceAddresses::Hidden,
        number: 0,
        ready: tell,
    };
    let netns = File::open(netns).unwrap();
    std::thread::spawn(move || {
        nix::sched::setns(netns, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        run(setup).unwrap();
    });
    std::thread::spawn(move || {
        File::from(ready).read_exact(&mut [0]).unwrap();
        println!("ready");
    });
    loop {
        // The relay's change of ids interrupts this thread (nptl(7)).
        let _ = poll(&mut [PollFd::new(&service, PollFlags::IN)], None);
        if service.answer().unwrap() == Asker::Gone {
            return;
        }
    }
}

fn serve(at: &str) {
    let listener = TcpListener::bind(at).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                loop {
                    let (mut stream, _) = listener.accept().unwrap();
                    stream.set_nodelay(true).unwrap();
                    let mut buffer = [0; 64];
                    while stream.read_exact(&mut buffer).is_ok() {
                        if stream.write_all(&buffer).is_err() {
                            break;
                        }
                    }
                }
            });
        }
    });
}

/// Connections a second: eight at a time, each with one exchange, ended by a reset.
fn connect(to: &str, seconds: u64) {
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let total: usize = std::thread::scope(|scope| {
        let probe = || {
            let mut count = 0;
            while Instant::now() < end {
                let mut stream = TcpStream::connect(to).unwrap();
                rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
                stream.write_all(&[1; 64]).unwrap();
                stream.read_exact(&mut [0; 64]).unwrap();
                count += 1;
            }
            count
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(probe)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    println!(
        "{:.0}",
        f64::from(u32::try_from(total).unwrap()) / start.elapsed().as_secs_f64()
    );
}

/// The median of the time for 64 bytes there and back, in microseconds.
fn rtt(to: &str, count: usize) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut times: Vec<Duration> = (0..count)
        .map(|_| {
            let start = Instant::now();
            stream.write_all(&[1; 64]).unwrap();
            stream.read_exact(&mut [0; 64]).unwrap();
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("{:.1}", times[count / 2].as_secs_f64() * 1e6);
}

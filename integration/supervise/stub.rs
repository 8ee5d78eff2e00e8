//! A dockerd that does as it is told: it speaks sd_notify and socket activation, answers `/_ping`,
//! and says on standard error what happens to it. It is this very test program, started again.
//!
//! `STUB` holds words: what it does differently from a well-behaved dockerd.

use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

/// Not a test: the body of the stub, when the wrapper in `harness.rs` starts it.
#[test]
fn dockerd() {
    let Ok(words) = std::env::var("STUB") else {
        return;
    };
    // Its second life is another one: `first:WORD` counts in the first only.
    let lives = std::env::var("STUB_DIR").unwrap() + "/lives";
    let before = std::fs::read(&lives).map_or(0, |bytes| bytes.len());
    std::fs::write(&lives, vec![b'x'; before + 1]).unwrap();
    let code = run(&Words {
        text: words,
        before,
    });
    say("ends");
    std::process::exit(code);
}

struct Words {
    text: String,
    before: usize,
}

impl Words {
    /// The value of a word, empty for one without.
    fn get(&self, name: &str) -> Option<&str> {
        self.text.split_whitespace().find_map(|word| {
            let word = match word.strip_prefix("first:") {
                Some(_) if self.before > 0 => return None,
                Some(word) => word,
                None => word,
            };
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            (key == name).then_some(value)
        })
    }
}

fn say(text: &str) {
    // In one write: others use the same pipe.
    let _ = std::io::stderr().write_all(format!("stub: {text}\n").as_bytes());
}

fn notify(text: &str) {
    let socket = UnixDatagram::unbound().unwrap();
    let _ = socket.send_to(text.as_bytes(), std::env::var("NOTIFY_SOCKET").unwrap());
}

fn run(words: &Words) -> i32 {
    let pidfile = std::env::var("STUB_DIR").unwrap() + "/docker.pid";
    if words.get("untrapped").is_some() {
        std::fs::write(pidfile, std::process::id().to_string()).unwrap();
        say("untrapped");
        loop {
            std::thread::park();
        }
    }
    let receiver = signals();
    if let Some(code) = words.get("fails") {
        say("level=info msg=one");
        let reason = words.get("because").unwrap_or("unknown").replace('_', " ");
        let line = format!("failed to start daemon: {reason}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
        return code.parse().unwrap();
    }
    std::fs::write(&pidfile, std::process::id().to_string()).unwrap();
    if let Some(program) = words.get("container") {
        let program = Path::new(program);
        std::process::Command::new(program).spawn().unwrap();
    }
    if let Some(count) = words.get("talks") {
        let count: usize = count.parse().unwrap();
        let filler = "x".repeat(100);
        let mut stderr = std::io::stderr();
        for number in 0..count {
            let line = format!("line {number} {filler}\n");
            stderr.write_all(line.as_bytes()).unwrap();
        }
    }
    if std::env::var_os("LISTEN_PID").is_some() {
        std::thread::spawn(serve);
    }
    notify("READY=1");
    for signal in receiver {
        match signal {
            SIGHUP => {
                say("HUP");
                notify("RELOADING=1");
                notify("READY=1");
            }
            SIGUSR1 if words.get("mortal").is_some() => die(),
            SIGUSR1 => say("USR1"),
            _ if words.get("stubborn").is_some() => say("TERM ignored"),
            _ => {
                say("TERM");
                break;
            }
        }
    }
    notify("STOPPING=1");
    if let Some(count) = words.get("last-talks") {
        for number in 0..count.parse().unwrap() {
            let line = format!("last {number} {}\n", "x".repeat(100));
            std::io::stderr().write_all(line.as_bytes()).unwrap();
        }
    }
    std::fs::remove_file(pidfile).unwrap();
    0
}

/// Every signal that comes, from now on.
fn signals() -> mpsc::Receiver<i32> {
    let (sender, receiver) = mpsc::channel();
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] {
        let (mut reader, writer) = UnixStream::pair().unwrap();
        signal_hook::low_level::pipe::register(signal, writer).unwrap();
        let sender = sender.clone();
        std::thread::spawn(move || {
            while reader.read_exact(&mut [0]).is_ok() {
                let _ = sender.send(signal);
            }
        });
    }
    receiver
}

fn die() {
    let own = rustix::process::getpid();
    rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
}

/// One client after the other; `GET /die` ends the stub as a bug would.
#[expect(
    unsafe_code,
    reason = "the socket comes by number, as socket activation has it"
)]
fn serve() {
    assert_eq!(
        std::env::var("LISTEN_PID").unwrap().parse(),
        Ok(std::process::id())
    );
    // SAFETY: descriptor 3 was passed to us (LISTEN_FDS) and nobody else in this process owns it.
    let listener = unsafe { UnixListener::from_raw_fd(3) };
    for client in listener.incoming() {
        let mut client = client.unwrap();
        let mut request = [0; 1024];
        let count = client.read(&mut request).unwrap_or(0);
        let request = String::from_utf8_lossy(&request[..count]).into_owned();
        if request.starts_with("GET /die") {
            die();
        }
        let _ = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK");
    }
}

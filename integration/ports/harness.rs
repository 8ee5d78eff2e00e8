//! Namespaces, the two processes of the port driver, and the way to talk to them.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dind_init::config::rootless::ChildSide;
use dind_init::config::rootless::port::PortSpec;
use dind_init::ports::api::info::{Info, NetworkDriver};
use dind_init::ports::bind::{Asker, BindClient, BindService, pair};
use dind_init::ports::{Setup, SourceAddresses, listen_api, run};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::event::{PollFd, PollFlags, poll};

/// What anything here may take at most; only a failure ever waits that long.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Address of the outer namespace that clients connect to, and of the client.
pub const OUTER: &str = "192.0.2.1";
pub const CLIENT: &str = "192.0.2.2";

/// Runs the body of a test where it can run, one at a time: a process that one test forks holds
/// the files that another is writing (ETXTBSY), and a change of ids interrupts calls in every
/// thread (EINTR).
pub fn network(body: impl FnOnce()) {
    static ONE: Mutex<()> = Mutex::new(());
    // A test that failed has said so itself.
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let reason = if !rustix::process::geteuid().is_root() {
        "needs root"
    } else if Command::new("ip").arg("-V").output().is_err() {
        "needs ip (package iproute2)"
    } else if std::thread::spawn(|| unshare(CloneFlags::CLONE_NEWNET))
        .join()
        .unwrap()
        .is_err()
    {
        "needs network namespaces"
    } else {
        return body();
    };
    crate::skip::skip(reason);
}

/// A network namespace. A socket keeps the one in which it was made.
pub struct Net(File);

impl Net {
    /// A new one, with `lo` up.
    pub fn new() -> Self {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            File::open("/proc/thread-self/ns/net").unwrap()
        };
        let net = Self(std::thread::spawn(make).join().unwrap());
        net.ip("link set lo up");
        net
    }

    /// Does something inside.
    pub fn inside<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(&self.0, CloneFlags::CLONE_NEWNET).unwrap();
                body()
            });
            thread.join().unwrap()
        })
    }

    pub fn ip(&self, words: &str) {
        let words: Vec<&str> = words.split(' ').collect();
        let output = self.run("ip", &words);
        assert!(output.is_ok(), "ip {words:?}: {output:?}");
    }

    pub fn run(&self, program: &str, words: &[&str]) -> Result<(), String> {
        let output = self.inside(|| Command::new(program).args(words).output());
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Joins two namespaces by a veth pair, `name` on both sides.
    pub fn join(&self, other: &Self, name: &str, here: &[&str], there: &[&str]) {
        let place = format!("/proc/{}/fd/{}", std::process::id(), other.0.as_raw_fd());
        self.ip(&format!(
            "link add {name} type veth peer name {name} netns {place}"
        ));
        for (net, addresses) in [(self, here), (other, there)] {
            for address in addresses {
                let nodad = if address.contains(':') { " nodad" } else { "" };
                net.ip(&format!("addr add {address} dev {name}{nodad}"));
            }
            net.ip(&format!("link set {name} up"));
        }
    }

    pub fn connect(&self, to: &str) -> TcpStream {
        self.try_connect(to).unwrap()
    }

    pub fn try_connect(&self, to: &str) -> io::Result<TcpStream> {
        let to: SocketAddr = to.parse().unwrap();
        let stream = self.inside(|| TcpStream::connect(to))?;
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Ok(stream)
    }

    pub fn listen(&self, at: &str) -> TcpListener {
        self.inside(|| TcpListener::bind(at).unwrap())
    }

    pub fn udp(&self, at: &str) -> UdpSocket {
        let socket = self.inside(|| UdpSocket::bind(at).unwrap());
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket
    }
}

/// How a world is made.
pub struct Plan {
    pub side: Option<ChildSide>,
    pub addresses: SourceAddresses,
    pub publish: Vec<&'static str>,
    /// The bind service waits for the test to answer.
    pub held: bool,
    /// Joined with the client by `join`.
    pub outer_addresses: Vec<&'static str>,
    pub client_addresses: Vec<&'static str>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            side: Some(ChildSide::Tap),
            addresses: SourceAddresses::Hidden,
            publish: Vec::new(),
            held: false,
            outer_addresses: vec!["192.0.2.1/24", "192.0.2.11/24", "2001:db8::1/64"],
            client_addresses: vec!["192.0.2.2/24", "192.0.2.3/24", "2001:db8::2/64"],
        }
    }
}

/// The port driver, at work.
pub struct World {
    pub client: Net,
    pub outer: Net,
    pub child: Net,
    _beyond: Net,
    pub relay: Child,
    /// PID 1's part, where the test plays it.
    pub service: Option<Arc<BindService>>,
    pub socket: PathBuf,
    _directory: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        Self::start(Plan::default())
    }

    pub fn start(plan: Plan) -> Self {
        let (mut world, ready) = Self::begin(plan);
        // To its end, after which the relay has no more descriptors than it needs.
        let mut bytes = Vec::new();
        File::from(ready).read_to_end(&mut bytes).unwrap();
        assert!(bytes == b"1", "the relay failed: {}", world.last_words());
        world
    }

    /// Starts everything, and returns the descriptor on which the relay says that it is ready.
    pub fn begin(plan: Plan) -> (Self, OwnedFd) {
        let (client, outer, child) = (Net::new(), Net::new(), Net::new());
        outer.join(
            &client,
            "wire",
            &plan.outer_addresses,
            &plan.client_addresses,
        );
        // A stand-in for the tap device: everything but its own network is by default there.
        let beyond = Net::new();
        child.join(&beyond, "tap0", &["10.0.2.100/24", "fd00::100/64"], &[]);
        child.ip("route add default via 10.0.2.2 dev tap0");
        child.ip("-6 route add default via fd00::2 dev tap0");

        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("api.sock");
        let api = listen_api(&socket).unwrap();
        let (service, binds) = pair().unwrap();
        let (ready, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let netns = child.0.try_clone().unwrap();
        let fds = [api, OwnedFd::from(binds), tell, OwnedFd::from(netns)]
            .map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 1000).unwrap());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "harness::relay_process", "--nocapture"])
            .env(SIDE, format!("{:?}", plan.side))
            .env(ADDRESSES, format!("{:?}", plan.addresses))
            .env(PUBLISH, plan.publish.join(","))
            .env("DIND_LOG_LEVEL", "debug")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let raw = fds.each_ref().map(AsRawFd::as_raw_fd);
        // SAFETY: dup2 is async-signal-safe; the sources are above every target.
        unsafe {
            command.pre_exec(move || {
                for (source, target) in raw.iter().zip(FIRST..) {
                    if libc::dup2(*source, target) < 0 {
                        return Err(io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        let relay = command.spawn().unwrap();
        drop(fds);
        let service = Arc::new(service);
        let held = plan.held.then(|| Arc::clone(&service));
        if held.is_none() {
            // What PID 1 does in its loop; it ends with the relay.
            outer_thread(&outer, move || while answer(&service) == Asker::There {});
        }
        let world = Self {
            client,
            outer,
            child,
            _beyond: beyond,
            relay,
            service: held,
            socket,
            _directory: directory,
        };
        (world, ready)
    }

    /// Asks the API, by a connection of its own.
    pub fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = self.api();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    pub fn api(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Publishes a port in the `-p` grammar and returns its id.
    pub fn publish(&self, spec: &str) -> u32 {
        let (status, body) = self.try_publish(spec);
        assert_eq!(status, 201, "{spec}: {body}");
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        answer["id"].as_u64().unwrap() as u32
    }

    pub fn try_publish(&self, spec: &str) -> (u16, String) {
        let spec: PortSpec = spec.parse().unwrap();
        self.call("POST", "/v1/ports", &serde_json::to_string(&spec).unwrap())
    }

    pub fn remove(&self, id: u32) {
        let (status, body) = self.call("DELETE", &format!("/v1/ports/{id}"), "");
        assert_eq!(status, 200, "{body}");
    }

    /// Open descriptors of the relay.
    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.relay.id());
        std::fs::read_dir(path).unwrap().count()
    }

    /// Ends the relay and returns what it wrote to its log.
    pub fn log(mut self) -> String {
        self.relay.kill().unwrap();
        self.last_words()
    }

    /// Waits for the end of the relay and returns what it wrote to its log.
    pub fn last_words(&mut self) -> String {
        self.relay.wait().unwrap();
        let mut text = String::new();
        let mut log = BufReader::new(self.relay.stderr.take().unwrap());
        log.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.relay.kill();
        let _ = self.relay.wait();
    }
}

/// Waits until something is so.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// Waits until a question is there.
pub fn asked(service: &BindService) {
    let until = DEADLINE.try_into().unwrap();
    let ready = poll(&mut [PollFd::new(service, PollFlags::IN)], Some(&until)).unwrap();
    assert_eq!(ready, 1, "nothing is asked");
}

/// Waits for questions and answers them.
pub fn answer(service: &BindService) -> Asker {
    poll(&mut [PollFd::new(service, PollFlags::IN)], None).unwrap();
    service.answer().unwrap()
}

fn outer_thread(net: &Net, body: impl FnOnce() + Send + 'static) {
    let file = net.0.try_clone().unwrap();
    std::thread::spawn(move || {
        setns(&file, CloneFlags::CLONE_NEWNET).unwrap();
        body();
    });
}

const SIDE: &str = "PORTS_TEST_SIDE";
const ADDRESSES: &str = "PORTS_TEST_ADDRESSES";
const PUBLISH: &str = "PORTS_TEST_PUBLISH";
/// First of the descriptors that the relay's process gets.
const FIRST: i32 = 10;

/// The relay's process: this test program again.
#[test]
fn relay_process() {
    let Some(side) = std::env::var_os(SIDE) else {
        return;
    };
    dind_init::log::start(tracing::Level::INFO, dind_init::log::Form::Text);
    // SAFETY: the harness put these descriptors here, for this process alone.
    let take = |index| unsafe { OwnedFd::from_raw_fd(FIRST + index) };
    let (api, binds, ready, netns) = (take(0), take(1), take(2), take(3));
    setns(&netns, CloneFlags::CLONE_NEWNET).unwrap();
    drop(netns);
    let network = NetworkDriver {
        driver: "slirp4netns".to_owned(),
        dns: vec!["10.0.2.3".parse().unwrap()],
        child_ip: Some("10.0.2.100".parse().unwrap()),
        dynamic_child_ip: false,
        ipv6: false,
    };
    let side = match side.to_str() {
        Some("Some(Tap)") => Some(ChildSide::Tap),
        Some("Some(Loopback)") => Some(ChildSide::Loopback),
        _ => None,
    };
    let kept = std::env::var_os(ADDRESSES).is_some_and(|value| value == "Kept");
    let publish = std::env::var(PUBLISH).unwrap();
    let result = run(Setup {
        info: Info::new(PathBuf::from("/run/state"), 42, network, side),
        api,
        binds: BindClient::from(binds),
        publish: match publish.as_str() {
            "" => Vec::new(),
            list => PortSpec::parse_list(list).unwrap(),
        },
        source_addresses: match kept {
            true => SourceAddresses::Kept,
            false => SourceAddresses::Hidden,
        },
        number: 0,
        ready,
    });
    if let Err(error) = result {
        dind_init::log::stderr(&dind_init::base::explain::frame(&error));
    }
}

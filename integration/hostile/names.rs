//! The forwarder for names, asked by those who want it to be of no use to others.

use crate::container::Container;
use crate::lab::{Lab, NESTED, Network};
use crate::scene::{comes_true, works};

/// A daemon on a network of its own, whose nested containers ask our forwarder; another container
/// is there to be found by its name.
struct Names {
    dind: Container,
    found: Container,
    network: Network,
}

fn names(lab: &'static Lab) -> Names {
    let network = lab.network();
    let dind = lab.dind().named_docker(&network).start();
    let found = lab
        .base("forky")
        .options(["--network", &network.name, "--network-alias", "to-be-found"])
        .args(["sleep", "infinity"])
        .start();
    works(&dind);
    dind.import_nested();
    Names {
        dind,
        found,
        network,
    }
}

impl Names {
    /// How many of six names a nested container resolves, with the deadline of a resolver.
    fn resolved(&self) -> usize {
        let ask = "for try in 1 2 3 4 5 6; do
            timeout 5 nslookup to-be-found >/dev/null 2>&1 && echo yes
        done; :";
        let words = ["run", "--rm", NESTED, "sh", "-c", ask];
        self.dind.docker(words).lines().count()
    }

    /// The forwarder's address.
    fn bridge(&self) -> String {
        let cut = "ip -4 -o addr show docker0 | sed 's/.* inet //; s/\\/.*//'";
        self.dind.sh(cut)
    }

    /// Ticks of a CPU that the forwarder has used.
    fn ticks(&self) -> u64 {
        let sum = "awk '{ print $14 + $15 }' /proc/$(pgrep -f '[f]orward-names')/stat";
        self.dind.sh(sum).parse().expect("a number")
    }
}

/// As many as it takes, and some more that wait in the listener's queue.
#[test]
fn silent_clients_cost_no_time() {
    let Some(lab) = Lab::find() else { return };
    let names = names(lab);
    assert_eq!(names.resolved(), 6);
    // Each says nothing, stays, and comes again when it is sent away.
    let silent = "server=$(sed -n 's/nameserver //p' /etc/resolv.conf | head -n 1)
        mkfifo /tmp/silence; exec 9<>/tmp/silence
        for n in $(seq 240); do while :; do nc $server 53 <&9; sleep 1; done & done; wait";
    names
        .dind
        .docker(["run", "--detach", NESTED, "sh", "-c", silent]);
    comes_true(&names.dind, "[ $(pgrep -xc sh) -ge 240 ]");
    let before = names.ticks();
    names.dind.sh("sleep 6"); // what is measured
    let used = names.ticks() - before;
    assert!(used < 60, "{used} of 600 ticks");
    assert_eq!(names.resolved(), 6, "others are served");
    assert_eq!(names.dind.stop(), "0");
}

/// One container with a third of a CPU asks as fast as it can, and is never answered.
#[test]
fn a_container_that_asks_without_end_takes_nobodys_turn() {
    let Some(lab) = Lab::find() else { return };
    let names = names(lab);
    // Names of the outside, which take the resolver longest, or for ever.
    let flood = r"
import os, socket, sys
server = sys.argv[1]
client = socket.socket(type=socket.SOCK_DGRAM); client.connect((server, 53)); client.setblocking(False)
while True:
    name = os.urandom(8).hex().encode()
    query = name[:2] + b'\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x10' + name + b'\x07invalid\x00\x00\x01\x00\x01'
    try: client.send(query)
    except OSError: pass";
    // The nested image has no program that is fast enough; the daemon's own container has.
    names.dind.docker([
        "run",
        "--detach",
        "--cpus",
        "0.3",
        "--volume",
        "/:/host:ro",
        NESTED,
        "busybox",
        "chroot",
        "/host",
        "python3",
        "-c",
        flood,
        &names.bridge(),
    ]);
    comes_true(&names.dind, "pgrep -x python3");
    for _ in 0..2 {
        names.dind.sh("sleep 2"); // what it may do meanwhile
        assert_eq!(names.resolved(), 6);
    }
    assert_eq!(names.dind.stop(), "0");
}

/// It is there for nested containers: the outer network has resolvers of its own.
#[test]
fn the_outer_network_has_no_answer() {
    let Some(lab) = Lab::find() else { return };
    let names = names(lab);
    assert_eq!(names.resolved(), 6);
    let bridge = names.bridge();
    let own = names.dind.sh("hostname -i | cut -d' ' -f1");
    let ask = r"
import socket, sys
query = b'\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0bto-be-found\x00\x00\x01\x00\x01'
for kind in socket.SOCK_DGRAM, socket.SOCK_STREAM:
    client = socket.socket(type=kind); client.settimeout(2)
    try:
        client.connect((sys.argv[1], 53))
        client.sendall(query if kind == socket.SOCK_DGRAM else b'\x00\x1d' + query)
        print('answered:', len(client.recv(512)), kind)
    except OSError as error: print('nothing:', error)";
    // Whoever has NET_ADMIN in a network namespace of its own may send anything to us.
    let outside = lab
        .base("forky")
        .options(["--network", &names.network.name, "--cap-add", "NET_ADMIN"])
        .args(["sleep", "infinity"])
        .start();
    outside.sh(&format!("ip route add {bridge}/32 via {own}"));
    for address in [&bridge, &own] {
        let output = outside.exec(["python3", "-c", ask, address]);
        assert!(!output.stdout.contains("answered"), "{address}: {output}");
    }
    assert_eq!(names.dind.stop(), "0");
    drop(names.found);
}

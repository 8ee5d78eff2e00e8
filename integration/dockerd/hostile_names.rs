//! The forwarder for names beside nested containers that flood it, and neighbours who find a way
//! to it.

use crate::container::Container;
use crate::lab::{Lab, NESTED, Network, until};
use crate::network::sibling;

/// Asks for a name that nobody has, as fast as it can.
const FLOOD: &str = r#"
    use Socket;
    socket(S, AF_INET, SOCK_DGRAM, 0) or die;
    connect(S, pack_sockaddr_in(53, inet_aton(shift))) or die;
    my $query = "\x12\x34\1\0\0\1\0\0\0\0\0\0\4nope\0\0\1\0\1";
    print "asks\n" if send(S, $query, 0);
    close STDOUT;
    send(S, $query, 0) while 1;
"#;

/// Holds connections and says nothing; what is closed is made anew. More than the forwarder takes
/// before an ordinary resolver gives up.
const SILENT: &str = r#"
    use Socket;
    my (%held, $begun);
    while (1) {
        while (keys %held < 400) {
            socket(my $one, AF_INET, SOCK_STREAM, 0) or die;
            connect($one, pack_sockaddr_in(53, inet_aton($ARGV[0]))) or next;
            $held{fileno $one} = $one;
        }
        print "asks\n" unless $begun++;
        close STDOUT;
        my $ready = "";
        vec($ready, $_, 1) = 1 for keys %held;
        select($ready, undef, undef, undef);
        vec($ready, $_, 1) and delete $held{$_} for keys %held;
    }
"#;

/// Asks for `sibling` once by UDP or TCP, with the deadline of an ordinary resolver.
const ASK: &str = r#"
    use Socket;
    my ($server, $kind) = @ARGV;
    my $stream = $kind eq "tcp";
    my $query = "\x12\x34\1\0\0\1\0\0\0\0\0\0\7sibling\0\0\1\0\1";
    $query = pack("n/a*", $query) if $stream;
    $SIG{ALRM} = sub { print "nothing\n"; exit };
    alarm 5;
    socket(S, AF_INET, $stream ? SOCK_STREAM : SOCK_DGRAM, 0) or die;
    my $answer = "";
    connect(S, pack_sockaddr_in(53, inet_aton($server))) and send(S, $query, 0)
        and recv(S, $answer, 512, 0);
    print length $answer > 12 ? "an answer\n" : "nothing\n";
"#;

/// Perl of the container that dockerd runs in.
const PERL: [&str; 8] = [
    "--volume",
    "/usr:/usr:ro",
    "--volume",
    "/usr/lib:/lib:ro",
    "--volume",
    "/usr/lib64:/lib64:ro",
    NESTED,
    "/usr/bin/perl",
];

fn nested_perl(dind: &Container, options: &[&str], words: &[&str]) -> String {
    let run = ["run"].iter().chain(options).chain(&PERL).chain(words);
    dind.docker(run.copied())
}

/// Starts one that goes on until it is removed with its daemon, and waits until it has begun.
fn attack(dind: &Container, options: &[&str], program: &str, server: &str) {
    let options = [&["--detach"], options].concat();
    let id = nested_perl(dind, &options, &["-e", program, server]);
    until("the attack has begun", || {
        (dind.docker(["logs", &id]) == "asks").then_some(())
    });
}

/// How many of six names another nested container resolves.
fn resolved(dind: &Container) -> String {
    let script = "
        found=0
        for name in 1 2 3 4 5 6; do
            timeout 5 nslookup sibling >/dev/null 2>&1 && found=$((found + 1))
        done
        echo $found of 6
    ";
    dind.docker(["run", "--rm", NESTED, "sh", "-c", script])
}

fn start(lab: &'static Lab, network: &Network) -> (Container, String) {
    let dind = lab.dind().named_docker(network).start();
    dind.import_nested();
    let argv = dind.sh("tr '\\0' '\\n' </proc/$(cat /run/docker.pid)/cmdline");
    let server = argv.lines().find_map(|word| word.strip_prefix("--dns="));
    let server = server.expect("a forwarder for names").to_owned();
    (dind, server)
}

/// It made four of six of them unresolvable, and two that are not held back all of them.
#[test]
fn names_resolve_beside_nested_containers_that_flood() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let _sibling = sibling(lab, &network);
    let (dind, server) = start(lab, &network);
    for options in [&["--cpus=0.3"][..], &[]] {
        attack(&dind, options, FLOOD, &server);
        assert_eq!(resolved(&dind), "6 of 6", "{options:?}");
    }
}

#[test]
fn names_resolve_beside_silent_connections() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let _sibling = sibling(lab, &network);
    let (dind, server) = start(lab, &network);
    attack(&dind, &[], SILENT, &server);
    for kind in ["udp", "tcp"] {
        let answer = nested_perl(&dind, &["--rm"], &["-e", ASK, &server, kind]);
        assert_eq!(answer, "an answer", "{kind}");
    }
}

/// Linux takes what is sent to the bridge's address over any interface, also over one that was
/// plugged in later.
#[test]
fn a_neighbour_with_a_route_to_the_bridge_gets_no_answer() {
    let Some(lab) = Lab::find() else { return };
    let (network, later) = (lab.network(), lab.network());
    let _sibling = sibling(lab, &network);
    let (dind, server) = start(lab, &network);
    lab.docker(["network", "connect", &later.name, &dind.id])
        .ok();
    for network in [&network, &later] {
        let neighbour = lab.client("forky", network).option("--cap-add=NET_ADMIN");
        let neighbour = neighbour.start();
        let format = format!(
            "{{{{(index .NetworkSettings.Networks \"{}\").IPAddress}}}}",
            network.name
        );
        let way = dind.inspect(&format);
        neighbour.sh(&format!("ip route add {server}/32 via {way}"));
        for kind in ["udp", "tcp"] {
            let asked = neighbour.exec(["perl", "-e", ASK, &server, kind]).ok();
            assert_eq!(asked, "nothing", "{kind} by {way}");
        }
    }
    // Nested containers of every network, those with ours, and we ourselves are answered.
    dind.docker(["network", "create", "new"]);
    for inner in ["bridge", "new", "host"] {
        for kind in ["udp", "tcp"] {
            let options = ["--rm", "--network", inner];
            let answer = nested_perl(&dind, &options, &["-e", ASK, &server, kind]);
            assert_eq!(answer, "an answer", "{kind} from {inner}");
        }
    }
}

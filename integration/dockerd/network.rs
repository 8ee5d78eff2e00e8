//! Nested networks on an outer network whose MTU is small and whose resolver is on loopback.

use crate::container::Container;
use crate::lab::{Lab, NESTED, Network};
use crate::workload::{self, Builder};

/// Another service of the outer network. It counts what port 7000 is sent, and port 7001 sends
/// four megabytes.
pub(crate) fn sibling(lab: &'static Lab, network: &Network) -> Container {
    lab.base("forky")
        .options(["--network", &network.name, "--network-alias", "sibling"])
        .args(["sh", "-c", SERVER])
        .start()
}

const SERVER: &str = "
    socat TCP-LISTEN:7000,fork,reuseaddr SYSTEM:'wc -c' &
    exec socat TCP-LISTEN:7001,fork,reuseaddr SYSTEM:'head -c 4194304 /dev/zero'
";

/// Four megabytes there and back from a nested container, which finds the server by its name.
fn transfer(dind: &Container, inner_network: &str) {
    // The server may need a moment to listen; one that cannot be found at all is an error.
    let script = "
        nslookup sibling >/dev/null || exit 1
        until nc sibling 7000 </dev/null; do :; done
        head -c 4194304 /dev/zero | nc sibling 7000
        nc sibling 7001 </dev/null | wc -c
    ";
    let words = ["run", "--rm", "--network", inner_network, NESTED];
    let sent = dind.docker(words.into_iter().chain(["sh", "-c", script]));
    let counts: Vec<&str> = sent.lines().map(str::trim).collect();
    assert_eq!(counts, ["0", "4194304", "4194304"], "{inner_network}");
}

fn inner_mtu(dind: &Container, inner_network: &str) -> String {
    let words = ["run", "--rm", "--network", inner_network, NESTED];
    dind.docker(words.into_iter().chain(["cat", "/sys/class/net/eth0/mtu"]))
}

/// Otherwise pulls hang in nested containers of a cluster whose network has 1400 or 1450.
#[test]
fn the_default_and_new_networks_have_the_uplinks_mtu() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network_with(&["--opt", "com.docker.network.driver.mtu=1380"]);
    let _sibling = sibling(lab, &network);
    for (suite, new_networks) in [("forky", "1380"), ("trixie", "1380"), ("bookworm", "1500")] {
        let dind = lab.dind_on(suite).named_docker(&network).start();
        dind.import_nested();
        dind.docker(["network", "create", "new"]);
        assert_eq!(inner_mtu(&dind, "bridge"), "1380", "{suite}");
        // Engine 20.10 has no option for it.
        assert_eq!(inner_mtu(&dind, "new"), new_networks, "{suite}");
        transfer(&dind, "bridge");
        transfer(&dind, "new");
    }
}

/// Options of the same map under other keys say nothing about the MTU.
#[test]
fn other_options_of_networks_do_not_cost_the_mtu() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network_with(&["--opt", "com.docker.network.driver.mtu=1380"]);
    let icc = "com.docker.network.bridge.enable_icc";
    let flag = format!("--default-network-opt=bridge={icc}=true");
    let dind = lab.dind().named_docker(&network).args([&*flag]).start();
    dind.import_nested();
    dind.docker(["network", "create", "new"]);
    assert_eq!(inner_mtu(&dind, "new"), "1380");

    // dockerd takes a setting from its file or from flags: here ours cannot be added.
    let json = format!(r#"{{"default-network-opts": {{"bridge": {{"{icc}": "true"}}}}}}"#);
    let create = lab.dind().named_docker(&network);
    let dind = create.file("/etc/docker/daemon.json", 0o644, &json).start();
    dind.docker(["version"]);
    let log = dind.log();
    assert!(
        log.stderr
            .contains("/etc/docker/daemon.json has default-network-opts"),
        "{log}"
    );
}

#[test]
fn a_users_mtu_is_left_alone() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network_with(&["--opt", "com.docker.network.driver.mtu=1380"]);
    let dind = lab
        .dind()
        .named_docker(&network)
        .args(["--mtu=1300"])
        .start();
    dind.import_nested();
    assert_eq!(inner_mtu(&dind, "bridge"), "1300");
}

/// Names of the outer network, which only its own resolver on 127.0.0.11 knows; without a dot,
/// which dockerd's resolver for new networks keeps to itself unless it is asked not to.
#[test]
fn names_of_the_outer_network_resolve_in_nested_containers_and_builds() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let _sibling = sibling(lab, &network);
    for suite in ["forky", "trixie", "bookworm"] {
        let dind = lab.dind_on(suite).named_docker(&network).start();
        dind.import_nested();
        dind.docker(["network", "create", "new"]);
        for inner in ["bridge", "new"] {
            transfer(&dind, inner);
        }
        for builder in [Builder::BuildKit, Builder::Classic] {
            workload::build_with(&dind, builder, "nc sibling 7000 </dev/null");
        }
    }
}

#[test]
fn names_resolve_again_after_the_forwarder_was_killed() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let _sibling = sibling(lab, &network);
    let dind = lab.dind().named_docker(&network).start();
    dind.import_nested();
    transfer(&dind, "bridge");
    let forwarder = || dind.exec(["pgrep", "-f", "forward-names"]).ok();
    let first = forwarder();
    dind.sh(&format!("kill -9 {first}"));
    transfer(&dind, "bridge");
    let second = forwarder();
    assert_ne!(first, second);
    // It listens below port 1024 and has nothing else that root has.
    let rights = dind.sh(&format!(
        "grep -E '^(Cap(Eff|Bnd)|NoNewPrivs)' /proc/{second}/status"
    ));
    assert_eq!(
        rights,
        "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1"
    );
}

/// dockerd makes its networks again as its data root remembers them. docker0 must not get the
/// address of a gateway outside, nor the network of another one inside.
#[test]
fn a_data_root_may_move_to_where_docker0_was() {
    let Some(lab) = Lab::find() else { return };
    let outside = lab.network_with(&["--subnet", "172.17.0.0/16"]);
    let sibling = sibling(lab, &outside);
    let address = sibling.sh("hostname -i");
    for dns in ["DIND_DNS=auto", "DIND_DNS=skip"] {
        let data = lab.volume();
        let start = |network: &Network| {
            let create = lab.dind().env(dns).volume(&data, "/var/lib/docker");
            create.named_docker(network).start()
        };
        let subnets = |dind: &Container| ["bridge", "kept"].map(|name| dind.subnet(name));
        let elsewhere = lab.network();
        let earlier = start(&elsewhere);
        earlier.import_nested();
        earlier.docker(["network", "create", "kept"]);
        assert_eq!(
            subnets(&earlier),
            ["172.17.0.0/16", "172.18.0.0/16"],
            "{dns}"
        );
        assert_eq!(earlier.stop(), "0");

        let dind = start(&outside);
        dind.sh("dind-init wait --quiet");
        assert_eq!(subnets(&dind), ["172.19.0.0/16", "172.18.0.0/16"], "{dns}");
        for network in ["bridge", "kept"] {
            let run = ["run", "--rm", "--network", network, NESTED, "sh", "-c"];
            let send = format!("echo six | nc {address} 7000");
            assert_eq!(dind.docker(run.into_iter().chain([&*send])), "4", "{dns}");
        }
    }
}

/// As the network namespace of a pod does when a container of it is started again.
#[test]
fn docker0_stays_in_a_network_namespace_that_outlives_us() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let _sibling = sibling(lab, &network);
    let pod = lab.client("forky", &network).start();
    let data = lab.volume();
    for _ in 0..2 {
        let dind = lab
            .dind()
            .option(&format!("--network=container:{}", pod.id))
            .volume(&data, "/var/lib/docker")
            .start();
        dind.import_nested();
        assert_eq!(dind.subnet("bridge"), "172.17.0.0/16");
        transfer(&dind, "bridge");
        assert_eq!(dind.stop(), "0");
    }
}

/// A pod of an IPv6-only cluster: nested containers get out as well.
#[test]
fn with_ipv6_alone_outside_nested_containers_get_out() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network_with(&["--ipv4=false", "--ipv6"]);
    let peer = lab.client("forky", &network).start();
    peer.sh("mkdir /www && echo outside >/www/index.html && busybox httpd -p '[::]:80' -h /www");
    let address = peer.inspect("{{range .NetworkSettings.Networks}}{{.GlobalIPv6Address}}{{end}}");
    let dind = lab.dind().named_docker(&network).start();
    dind.import_nested();
    let url = format!("http://[{address}]/");
    let run = ["run", "--rm", NESTED, "wget", "-q", "-O", "-", &url];
    assert_eq!(dind.docker(run), "outside");
    let old = lab.dind_on("trixie").named_docker(&network).start();
    old.docker(["version"]);
    assert!(
        old.log()
            .stderr
            .contains("NO WAY OUT for nested containers")
    );
}

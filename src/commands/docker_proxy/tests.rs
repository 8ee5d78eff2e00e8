use super::*;
use crate::ports::api::client::{NetworkOffer, PortOffer};

fn request(words: &str) -> Result<Request, String> {
    let words: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
    Request::parse(&words)
}

fn offer(driver: &str, tap: bool) -> Offer {
    let protos: &[&str] = if tap {
        &["tcp4", "udp4"]
    } else {
        &["tcp4", "tcp6", "udp4"]
    };
    Offer {
        network_driver: Some(NetworkOffer {
            child_ip: Some([10, 0, 2, 100].into()),
        }),
        port_driver: Some(PortOffer {
            driver: driver.into(),
            protos: protos.iter().map(|&name| name.to_owned()).collect(),
            disallow_loopback_child_ip: tap,
        }),
    }
}

const WORDS: &str = "-proto udp -host-ip 0.0.0.0 -host-port 53 -container-ip 172.17.0.2 \
                     --container-port=5353";

#[test]
fn dockerds_words_are_read() {
    let read = request(WORDS).unwrap();
    assert_eq!(
        (&*read.proto, &*read.host_ip, &*read.host_port),
        ("udp", "0.0.0.0", "53")
    );
    assert_eq!(
        (&*read.container_ip, &*read.container_port),
        ("172.17.0.2", "5353")
    );
    assert_eq!(request("-host-ip ::1").unwrap().proto, "tcp");
    for (words, text) in [
        ("-host-ip", "-host-ip needs a value"),
        ("-no x", "unknown flag -no"),
        ("host-ip", "host-ip is no flag"),
    ] {
        assert_eq!(request(words).unwrap_err(), text);
    }
}

#[test]
fn a_port_is_published_and_docker_proxy_listens_where_it_is_mapped_to() {
    for (words, tap, outside, inside) in [
        (WORDS, true, "udp4 0.0.0.0:53", "10.0.2.100"),
        (WORDS, false, "udp4 0.0.0.0:53", "127.0.0.1"),
        ("-host-ip :: -host-port 80", false, "tcp6 :::80", "::1"),
        (
            "-proto tcp4 -host-ip 127.0.0.2 -host-port 80",
            true,
            "tcp4 127.0.0.2:80",
            "10.0.2.100",
        ),
    ] {
        let decision = decide(&request(words).unwrap(), &offer("builtin", tap)).unwrap();
        let Decision::Publish(spec, argv) = decision else {
            panic!("{words}: {decision:?}");
        };
        let parent = spec.parent_ip.as_ref().unwrap().ip();
        assert_eq!(
            format!("{} {parent}:{}", spec.proto, spec.parent_port),
            outside
        );
        assert_eq!(spec.child_ip.unwrap().ip().to_string(), inside);
        assert_eq!(spec.child_port, spec.parent_port);
        let at = argv.iter().position(|word| word == "-host-ip").unwrap();
        assert_eq!(argv[at + 1], inside);
    }
}

#[test]
fn what_nobody_serves_is_left_and_without_a_driver_docker_proxy_is_alone() {
    let six = request("-host-ip :: -host-port 80").unwrap();
    let left = decide(&six, &offer("builtin", true)).unwrap();
    assert!(matches!(left, Decision::Leave(why) if why.contains("\"tcp6\"")));
    let one = request("-host-ip ::1 -host-port 80").unwrap();
    let refused = decide(&one, &offer("builtin", true)).unwrap_err();
    assert!(
        refused.contains("DIND_ROOTLESS_PORTS=loopback"),
        "{refused}"
    );
    assert!(decide(&one, &offer("builtin", false)).is_ok());
    for none in [
        offer("none", false),
        offer("implicit", false),
        Offer::default(),
    ] {
        assert_eq!(decide(&six, &none), Ok(Decision::PassOn));
    }
}

#[test]
fn nonsense_is_refused() {
    for words in [
        "-host-ip x -host-port 80",
        "-host-ip 0.0.0.0 -host-port 0",
        "-host-ip 0.0.0.0",
    ] {
        assert!(
            decide(&request(words).unwrap(), &offer("builtin", true)).is_err(),
            "{words}"
        );
    }
}

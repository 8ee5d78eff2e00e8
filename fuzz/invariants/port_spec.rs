//! What holds of every port specification that is accepted, as a value of `-p` or as JSON.

use std::net::IpAddr;

use dind_init::config::rootless::port::{Address, PortSpec, Transport};
use dind_init::ports::address;
use dind_init::ports::bind::{Ask, Reach};

/// A value of `-p`, or a body.
pub fn check(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(specs) = PortSpec::parse_list(text)
    {
        assert_eq!(specs.len(), text.split(',').count());
        specs.iter().for_each(accepted);
        let shown: Vec<String> = specs.iter().map(PortSpec::to_string).collect();
        assert_eq!(PortSpec::parse_list(&shown.join(",")), Ok(specs));
    }
    if let Ok(spec) = PortSpec::from_json(bytes) {
        accepted(&spec);
    }
}

fn accepted(spec: &PortSpec) {
    // Either form says it again, and says it the same way from then on.
    let shown = spec.to_string();
    let json = serde_json::to_string(spec).expect("JSON");
    assert_eq!(shown.parse().as_ref(), Ok(spec), "{shown}");
    assert_eq!(
        PortSpec::from_json(json.as_bytes()).as_ref(),
        Ok(spec),
        "{json}"
    );
    assert!(!shown.contains(','), "commas part specifications: {shown}");
    assert!(
        shown.is_ascii() && !shown.contains(char::is_whitespace),
        "a word of a command line: {shown:?}"
    );

    // The ports are read again by something that is not our parser.
    let value: serde_json::Value = serde_json::from_str(&json).expect("an object");
    for (port, name) in [
        (spec.parent_port, "parentPort"),
        (spec.child_port, "childPort"),
    ] {
        assert_eq!(value[name], port.get(), "{json}");
        assert!((1..=65535).contains(&value[name].as_u64().unwrap_or(0)));
    }
    for (address, name) in [(&spec.parent_ip, "parentIP"), (&spec.child_ip, "childIP")] {
        match address {
            Some(address) => valid(address, &value[name]),
            None => assert!(value.get(name).is_none(), "{json}"),
        }
    }

    // What is made of it: somewhere to connect to, and a question that PID 1 understands.
    let target = address::target(spec);
    assert_eq!(target.port(), spec.child_port.get());
    assert!(!target.ip().is_unspecified(), "{shown} -> {target}");
    let tap = IpAddr::from([10, 0, 2, 100]);
    if let Some(inside) = address::inside(spec, Some(tap)) {
        // The one of both where docker-proxy does not listen.
        assert_ne!(inside.ip().is_loopback(), target.ip().is_loopback());
        assert!(inside.ip().is_loopback() || inside.ip() == tap);
        assert_eq!(inside.port(), spec.parent_port.get());
    }
    for reach in [Reach::AlsoV6, Reach::AsNamed] {
        match Ask::of(spec, reach) {
            Some(ask) => assert_eq!(ask.to_string().parse(), Ok(ask)),
            None => assert_eq!(spec.proto.transport, Transport::Sctp),
        }
    }
}

fn valid(address: &Address, text: &serde_json::Value) {
    let text = text.as_str().expect("an address is a text");
    let ip: std::net::IpAddr = text.parse().expect("an address");
    assert_eq!(address.ip(), ip.to_canonical());
    assert_eq!(Address::parse(text).as_ref(), Some(address));
}

use proptest::prelude::*;

use super::*;

fn json(text: &str) -> Result<PortSpec, String> {
    PortSpec::from_json(text.as_bytes()).map_err(|error| error.to_string())
}

#[test]
fn reads_every_form_of_publish() {
    for (text, parent, child) in [
        ("127.0.0.1:8080:80/tcp", Some("127.0.0.1"), None),
        ("0.0.0.0:8080:80/udp4", Some("0.0.0.0"), None),
        (":8080:80/tcp", None, None),
        (
            "127.0.0.1:8080:10.0.2.100:80/tcp",
            Some("127.0.0.1"),
            Some("10.0.2.100"),
        ),
        ("[::1]:8080:[::2]:80/udp", Some("::1"), Some("::2")),
        ("[::]:8080:80/tcp6", Some("::"), None),
    ] {
        let spec: PortSpec = text.parse().unwrap();
        let ip = |ip: Option<&str>| ip.map(|ip| ip.parse::<IpAddr>().unwrap());
        assert_eq!(spec.parent_ip.as_ref().map(Address::ip), ip(parent));
        assert_eq!(spec.child_ip.as_ref().map(Address::ip), ip(child));
        assert_eq!((spec.parent_port.get(), spec.child_port.get()), (8080, 80));
        assert_eq!(spec.to_string(), text);
    }
}

#[test]
fn refuses_a_publish_with_the_texts_people_search_for() {
    for (text, want) in [
        (
            "8080:80/tcp",
            r#"unexpected ParentIP in PortSpec string: "8080:80/tcp""#,
        ),
        (
            "0.0.0.0:8080:80",
            r#"missing proto in PortSpec string: "0.0.0.0:8080:80""#,
        ),
        (
            "0.0.0.0:8080:80/TCP",
            r#"invalid PortSpec string: "0.0.0.0:8080:80/TCP": unknown proto: "TCP""#,
        ),
        ("80/tcp", r#"unexpected PortSpec string: "80/tcp""#),
        (
            "::1:8080:80/tcp",
            r#"unexpected PortSpec string: "::1:8080:80/tcp""#,
        ),
        (
            "[::1:80/tcp",
            r#"unexpected PortSpec string: "[::1:80/tcp""#,
        ),
        (
            "[::1]x:80:80/tcp",
            r#"unexpected PortSpec string: "[::1]x:80:80/tcp""#,
        ),
        (
            "0.0.0.0:0:80/tcp",
            r#"unexpected ParentPort in PortSpec string: "0.0.0.0:0:80/tcp""#,
        ),
        (
            "0.0.0.0:80:70000/tcp",
            r#"unexpected ChildPort in PortSpec string: "0.0.0.0:80:70000/tcp""#,
        ),
        (
            "0.0.0.0:80:x:80/tcp",
            r#"unexpected ChildIP in PortSpec string: "0.0.0.0:80:x:80/tcp""#,
        ),
    ] {
        assert_eq!(text.parse::<PortSpec>().unwrap_err().to_string(), want);
    }
}

#[test]
fn commas_part_the_values_of_one_flag() {
    let specs = PortSpec::parse_list("0.0.0.0:80:80/tcp,127.0.0.1:53:53/udp").unwrap();
    assert_eq!(specs.len(), 2);
    assert!(PortSpec::parse_list("0.0.0.0:80:80/tcp,").is_err());
}

#[test]
fn reads_what_dockerd_posts() {
    let spec = json(
        r#"{"proto":"tcp4","parentIP":"0.0.0.0","parentPort":8080,"childPort":8080,
            "childIP":"::ffff:10.0.2.100","unknown":[1]} and more"#,
    )
    .unwrap();
    assert_eq!(
        spec.child_ip.as_ref().unwrap().ip(),
        IpAddr::from([10, 0, 2, 100])
    );
    assert_eq!(
        serde_json::to_string(&spec).unwrap(),
        r#"{"proto":"tcp4","parentIP":"0.0.0.0","parentPort":8080,"childPort":8080,"childIP":"::ffff:10.0.2.100"}"#
    );
}

#[test]
fn leaves_out_what_is_empty() {
    let spec = json(r#"{"proto":"tcp","parentIP":"","parentPort":1,"childPort":2,"childIP":null}"#);
    assert_eq!(
        serde_json::to_string(&spec.unwrap()).unwrap(),
        r#"{"proto":"tcp","parentPort":1,"childPort":2}"#
    );
}

#[test]
fn refuses_json_with_the_texts_of_rootlesskit() {
    for (body, want) in [
        ("", "EOF"),
        ("null", r#"unknown proto: """#),
        (r#"{"proto":"bogus"}"#, r#"unknown proto: "bogus""#),
        (
            r#"{"proto":"tcp","parentIP":"zz"}"#,
            r#"invalid ParentIP: "zz""#,
        ),
        (
            r#"{"proto":"tcp","childIP":"zz"}"#,
            r#"invalid ChildIP: "zz""#,
        ),
        (
            r#"{"proto":"tcp","parentPort":70000,"childPort":80}"#,
            "invalid ParentPort: 70000",
        ),
        (
            r#"{"proto":"tcp","parentPort":80,"childPort":-1}"#,
            "invalid ChildPort: -1",
        ),
    ] {
        assert_eq!(json(body).unwrap_err(), want);
    }
    for body in ["{bad", "[]", r#"{"proto":"tcp","parentPort":"80"}"#] {
        assert!(json(body).unwrap_err().starts_with("json: "), "{body}");
    }
}

fn address() -> impl Strategy<Value = Option<Address>> {
    prop_oneof![
        Just(None),
        any::<IpAddr>().prop_map(|ip| Address::parse(&ip.to_string())),
    ]
}

fn spec() -> impl Strategy<Value = PortSpec> {
    let names: &'static [&str] = &[
        "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6", "sctp", "sctp4", "sctp6",
    ];
    let proto = proptest::sample::select(names).prop_map(|name| name.parse().unwrap());
    (proto, address(), 1..=u16::MAX, address(), 1..=u16::MAX).prop_map(
        |(proto, parent_ip, parent_port, child_ip, child_port)| PortSpec {
            proto,
            parent_ip,
            parent_port: parent_port.try_into().unwrap(),
            child_ip,
            child_port: child_port.try_into().unwrap(),
        },
    )
}

proptest! {
    #[test]
    fn any_specification_survives_both_forms(spec in spec()) {
        prop_assert_eq!(&spec.to_string().parse::<PortSpec>().unwrap(), &spec);
        let json = serde_json::to_vec(&spec).unwrap();
        prop_assert_eq!(&PortSpec::from_json(&json).unwrap(), &spec);
    }

    #[test]
    fn no_text_panics(text in "[\\[\\]:/0-9a-f.tcpud,]{0,40}", bytes: Vec<u8>) {
        let _ = PortSpec::parse_list(&text);
        let _ = PortSpec::from_json(&bytes);
    }
}

//! Names against a nameserver of our own.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::thread;

use dind_init::base::explain::Explain;
use dind_init::net::deadline::Deadline;
use dind_init::net::resolve::{ResolveError, Resolver};

use crate::{SHORT, deadline};

/// What the nameserver does with a question for a name and record type.
#[derive(Clone, Copy)]
enum Say {
    A([u8; 4]),
    Aaaa(u16),
    Code(u8),
    Cut,
    Nothing,
}

/// A nameserver on a port of its own, by UDP and TCP; answers by TCP are never cut.
fn nameserver(script: fn(&str, u16) -> Say) -> u16 {
    let (udp, tcp) = loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        // The same port by UDP is almost always free, too.
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            break (udp, tcp);
        }
    };
    let port = udp.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, client)) = udp.recv_from(&mut query) {
            if let Some(answer) = answer(&query[..length], script, true) {
                // Garbage and an answer to another query come first: both must be passed over.
                udp.send_to(b"garbage", client).unwrap();
                let mut other = answer.clone();
                other[0] = !other[0];
                udp.send_to(&other, client).unwrap();
                udp.send_to(&answer, client).unwrap();
            }
        }
    });
    thread::spawn(move || {
        while let Ok((mut stream, _)) = tcp.accept() {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut query).unwrap();
            let answer = answer(&query, script, false).unwrap();
            let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
            stream.write_all(&[&length, &answer[..]].concat()).unwrap();
        }
    });
    port
}

fn answer(query: &[u8], script: fn(&str, u16) -> Say, may_cut: bool) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(std::str::from_utf8(&query[at + 1..end]).unwrap());
        at = end;
    }
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let mut message = query.to_vec();
    message[2] = 0x81;
    message[3] = 0x80;
    let data = match script(&labels.join("."), kind) {
        Say::Nothing => return None,
        Say::Cut if may_cut => {
            message[2] |= 2;
            return Some(message);
        }
        Say::Code(code) => {
            message[3] |= code;
            return Some(message);
        }
        Say::A(address) if kind == 1 => address.to_vec(),
        Say::Cut if kind == 1 => vec![10, 0, 0, 53],
        Say::Aaaa(last) if kind == 28 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last)
            .octets()
            .to_vec(),
        Say::A(_) | Say::Aaaa(_) | Say::Cut => return Some(message),
    };
    message[7] = 1;
    message.extend_from_slice(&[0xc0, 12]);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&[0, 1, 0, 0, 0, 9, 0, u8::try_from(data.len()).unwrap()]);
    message.extend_from_slice(&data);
    Some(message)
}

fn resolver(dir: &Path, dns_port: u16, conf: &str) -> Resolver {
    let resolver = Resolver {
        hosts: dir.join("hosts"),
        resolv_conf: dir.join("resolv.conf"),
        dns_port,
    };
    fs::write(&resolver.hosts, "10.1.1.1 in-hosts\n").unwrap();
    fs::write(
        &resolver.resolv_conf,
        format!("nameserver 127.0.0.1\noptions attempts:1\n{conf}\n"),
    )
    .unwrap();
    resolver
}

fn resolve(resolver: &Resolver, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
    let list = resolver.resolve(name, 1, &mut deadline())?;
    Ok(list.iter().map(SocketAddr::ip).collect())
}

#[test]
fn literals_hosts_and_localhost_need_no_nameserver() {
    let dir = tempfile::tempdir().unwrap();
    let port = nameserver(|name, _| panic!("asked for {name}"));
    let resolver = resolver(dir.path(), port, "");
    let table: [(&str, Vec<IpAddr>); 5] = [
        ("10.2.3.4", vec![[10, 2, 3, 4].into()]),
        ("fd00::1", vec!["fd00::1".parse().unwrap()]),
        ("In-Hosts", vec![[10, 1, 1, 1].into()]),
        (
            "localhost",
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        ),
        (
            "x.localhost.",
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        ),
    ];
    for (name, want) in table {
        assert_eq!(resolve(&resolver, name).unwrap(), want, "{name}");
    }
}

#[test]
fn the_search_list_is_walked_as_in_kubernetes() {
    let dir = tempfile::tempdir().unwrap();
    let port = nameserver(|name, kind| match (name, kind) {
        ("docker.svc.local", 1) => Say::A([10, 0, 0, 7]),
        ("docker.svc.local", _) => Say::Aaaa(7),
        _ => Say::Code(3),
    });
    let resolver = resolver(
        dir.path(),
        port,
        "search ns.local svc.local\noptions ndots:5",
    );
    let want: [IpAddr; 2] = [[10, 0, 0, 7].into(), "fd00::7".parse().unwrap()];
    assert_eq!(resolve(&resolver, "docker").unwrap(), want);
    assert_eq!(resolve(&resolver, "docker.svc.local.").unwrap(), want);
}

#[test]
fn a_cut_answer_is_asked_for_again_by_tcp() {
    let dir = tempfile::tempdir().unwrap();
    let resolver = resolver(dir.path(), nameserver(|_, _| Say::Cut), "");
    let want: [IpAddr; 1] = [[10, 0, 0, 53].into()];
    assert_eq!(resolve(&resolver, "docker").unwrap(), want);
}

#[test]
fn a_family_that_is_never_answered_does_not_hide_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let port = nameserver(|_, kind| match kind {
        1 => Say::A([10, 0, 0, 9]),
        _ => Say::Nothing,
    });
    let resolver = resolver(dir.path(), port, "");
    let want: [IpAddr; 1] = [[10, 0, 0, 9].into()];
    assert_eq!(resolve(&resolver, "docker").unwrap(), want);
}

#[test]
fn no_such_name_and_no_server_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let unknown = resolver(dir.path(), nameserver(|_, _| Say::Code(3)), "search a");
    match resolve(&unknown, "docker") {
        Err(error @ ResolveError::NoSuchName { .. }) => {
            assert!(error.why().contains("docker.a, docker"), "{}", error.why());
        }
        other => panic!("{other:?}"),
    }
    let broken = resolver(dir.path(), nameserver(|_, _| Say::Code(2)), "");
    assert!(matches!(
        resolve(&broken, "docker"),
        Err(ResolveError::NoServer { last: Some(_), .. })
    ));
    let absent = resolver(dir.path(), crate::server::nobody().port(), "");
    assert!(matches!(
        resolve(&absent, "docker"),
        Err(ResolveError::NoServer { .. })
    ));
    let silent = resolver(dir.path(), nameserver(|_, _| Say::Nothing), "");
    let ended = silent.resolve("docker", 1, &mut Deadline::new(SHORT));
    assert!(matches!(ended, Err(ResolveError::Io { .. })));
}

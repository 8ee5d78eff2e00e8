use proptest::prelude::*;

use super::*;

/// An answer as servers write it: the question again, then records whose owner is a pointer
/// to the question's name, or written out.
fn answer(id: u16, name: &str, family: Family, flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let mut message = query(id, name, family).unwrap();
    message[2..4].copy_from_slice(&(0x8180 | flags).to_be_bytes());
    message[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
    records
        .iter()
        .for_each(|record| message.extend_from_slice(record));
    message
}

fn encoded(name: &str) -> Vec<u8> {
    let query = query(0, name, Family::V4).unwrap();
    query[12..query.len() - 4].to_vec()
}

fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut record = owner.to_vec();
    record.extend_from_slice(&kind.to_be_bytes());
    record.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
    record.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
    record.extend_from_slice(data);
    record
}

const QUESTION: [u8; 2] = [0xc0, 12];

#[test]
fn reads_the_names_of_an_address() {
    for (address, zone) in [
        ("10.214.0.3", "3.0.214.10.in-addr.arpa"),
        (
            "fd00::2",
            "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
        ),
    ] {
        let address: IpAddr = address.parse().unwrap();
        let mut message = reverse_query(7, address);
        assert_eq!(message[12..message.len() - 4], encoded(zone));
        message[2..4].copy_from_slice(&0x8180_u16.to_be_bytes());
        message[7] = 2;
        message.extend(record(&QUESTION, PTR, &encoded("dind.net")));
        message.extend(record(&encoded("other"), PTR, &encoded("stranger")));
        assert_eq!(names(&message, 7, address), Ok(vec!["dind.net".to_owned()]));
        assert_eq!(names(&message, 8, address), Err(NotAnAnswer::Unrelated));
        assert!(names(&message[..message.len() - 1], 7, address).is_err());
        message[3] |= 3;
        assert_eq!(names(&message, 7, address), Ok(vec![]));
    }
}

#[test]
fn reads_addresses_of_both_families() {
    let v4 = answer(
        7,
        "docker",
        Family::V4,
        0,
        &[record(&QUESTION, 1, &[172, 17, 0, 2])],
    );
    assert_eq!(
        reply(&v4, 7, "Docker", Family::V4),
        Ok(Reply::Addresses(vec![[172, 17, 0, 2].into()]))
    );
    let address = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
    let v6 = answer(
        7,
        "docker",
        Family::V6,
        0,
        &[record(&QUESTION, 28, &address.octets())],
    );
    assert_eq!(
        reply(&v6, 7, "docker", Family::V6),
        Ok(Reply::Addresses(vec![address.into()]))
    );
}

#[test]
fn follows_aliases_in_any_order_and_takes_no_other_names_addresses() {
    let records = [
        record(&encoded("c.example"), 1, &[10, 0, 0, 1]),
        record(&encoded("evil.example"), 1, &[6, 6, 6, 6]),
        record(&encoded("b.example"), 5, &encoded("c.example")),
        record(&QUESTION, 5, &encoded("b.example")),
    ];
    assert_eq!(
        reply(&answer(1, "a", Family::V4, 0, &records), 1, "a", Family::V4),
        Ok(Reply::Addresses(vec![[10, 0, 0, 1].into()]))
    );
}

#[test]
fn an_alias_of_itself_ends() {
    let records = [record(&QUESTION, 5, &QUESTION)];
    assert_eq!(
        reply(&answer(1, "a", Family::V4, 0, &records), 1, "a", Family::V4),
        Ok(Reply::Addresses(vec![]))
    );
}

#[test]
fn tells_the_ways_of_not_answering_apart() {
    for (flags, want) in [
        (0, Reply::Addresses(vec![])),
        (2, Reply::Failed(2)),
        (3, Reply::NoSuchName),
        (5, Reply::Failed(5)),
        (0x0200, Reply::Truncated),
    ] {
        let message = answer(1, "a", Family::V4, flags, &[]);
        assert_eq!(reply(&message, 1, "a", Family::V4), Ok(want), "{flags:x}");
    }
}

#[test]
fn answers_to_other_questions_are_not_ours() {
    let message = answer(1, "a", Family::V4, 0, &[]);
    let unrelated = Err(NotAnAnswer::Unrelated);
    assert_eq!(reply(&message, 2, "a", Family::V4), unrelated);
    assert_eq!(reply(&message, 1, "b", Family::V4), unrelated);
    assert_eq!(reply(&message, 1, "a", Family::V6), unrelated);
    let echo = query(1, "a", Family::V4).unwrap();
    assert_eq!(reply(&echo, 1, "a", Family::V4), unrelated);
}

#[test]
fn pointer_loops_and_cut_messages_are_malformed() {
    // The owner points at itself, then forwards.
    for target in [19, 200] {
        let message = answer(
            1,
            "a",
            Family::V4,
            0,
            &[record(&[0xc0, target], 1, &[0; 4])],
        );
        assert_eq!(
            reply(&message, 1, "a", Family::V4),
            Err(NotAnAnswer::Malformed)
        );
    }
    let whole = answer(1, "a", Family::V4, 0, &[record(&QUESTION, 1, &[0; 4])]);
    for length in 0..whole.len() {
        assert!(
            reply(&whole[..length], 1, "a", Family::V4).is_err(),
            "{length}"
        );
    }
}

#[test]
fn what_is_no_name_is_not_asked_for() {
    let long_label = "x".repeat(64);
    let long_name = "x.".repeat(127) + "x";
    for name in ["", ".", "a..b", "a b", "dé", &long_label, &long_name] {
        assert_eq!(query(1, name, Family::V4), None, "{name}");
    }
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = names(&bytes, 1, Ipv4Addr::LOCALHOST.into());
        let _ = reply(&bytes, 1, "a", Family::V4);
        // Also behind a good beginning, where the interesting code is.
        let mut message = answer(1, "a", Family::V4, 0, &[]);
        message[7] = 3;
        message.extend_from_slice(&bytes);
        let _ = reply(&message, 1, "a", Family::V4);
        let mut message = reverse_query(1, Ipv4Addr::LOCALHOST.into());
        message[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 3]);
        message.extend_from_slice(&bytes);
        let _ = names(&message, 1, Ipv4Addr::LOCALHOST.into());
    }

    #[test]
    fn reads_back_any_addresses(
        name in "[a-z]{1,20}(\\.[a-z0-9-]{1,20}){0,5}",
        addresses in proptest::collection::vec(any::<[u8; 4]>(), 0..20),
        id in any::<u16>(),
    ) {
        let records: Vec<_> = addresses.iter().map(|a| record(&QUESTION, 1, a)).collect();
        let message = answer(id, &name, Family::V4, 0, &records);
        prop_assert_eq!(
            reply(&message, id, &name, Family::V4),
            Ok(Reply::Addresses(addresses.into_iter().map(IpAddr::from).collect()))
        );
    }
}

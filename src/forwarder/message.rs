//! What is looked at in a message: the twelve bytes of its header (RFC 1035, 4.1.1). All of it is
//! pure, and takes any bytes.

/// Every message begins with a header of this length.
const HEADER: usize = 12;

/// The bit of the third byte that tells an answer from a query (QR).
const ANSWER: u8 = 0x80;

/// The bits of the third byte that name the kind of query (Opcode).
const OPCODE: u8 = 0x78;

/// What an answer has to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    id: [u8; 2],
    opcode: u8,
}

/// A message that asks something; nothing for an answer, which would go round for ever between two
/// that answer each other, and for what is too short to be a message.
#[must_use]
pub fn query(message: &[u8]) -> Option<Query> {
    let (header, _) = message.split_first_chunk::<HEADER>()?;
    let [first, second, flags, ..] = *header;
    (flags & ANSWER == 0).then_some(Query {
        id: [first, second],
        opcode: flags & OPCODE,
    })
}

/// Whether a message answers a query: an answer, with the query's id and kind.
#[must_use]
pub fn answers(asked: &[u8], message: &[u8]) -> bool {
    let (Some(asked), Some((header, _))) = (query(asked), message.split_first_chunk::<HEADER>())
    else {
        return false;
    };
    let [first, second, flags, ..] = *header;
    flags & ANSWER != 0 && [first, second] == asked.id && flags & OPCODE == asked.opcode
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(id: u16, flags: u8) -> [u8; HEADER] {
        let [first, second] = id.to_be_bytes();
        [first, second, flags, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    #[test]
    fn an_answer_has_the_bit_the_id_and_the_kind_of_its_query() {
        let asked = header(7, 0x01);
        assert!(answers(&asked, &header(7, 0x81)));
        assert!(!answers(&asked, &header(7, 0x01)), "a query");
        assert!(!answers(&asked, &header(8, 0x81)), "another id");
        assert!(!answers(&asked, &header(7, 0xa1)), "another kind");
        assert!(!answers(&asked, &header(7, 0x81)[..11]), "too short");
        assert!(!answers(&header(7, 0x81), &header(7, 0x81)), "not asked");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_query_or_not(message in proptest::collection::vec(any::<u8>(), 0..40)) {
            let asks = message.len() >= HEADER && message[2] < ANSWER;
            prop_assert_eq!(query(&message).is_some(), asks);
            prop_assert!(!answers(&message, &message));
            let mut answer = message.clone();
            if let Some(flags) = answer.get_mut(2) {
                *flags |= ANSWER;
            }
            prop_assert_eq!(answers(&message, &answer), asks);
        }
    }
}

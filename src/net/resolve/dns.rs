//! DNS messages: the query for addresses of a name, and its answer (RFC 1035). Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A chain of aliases is followed so far.
const MAX_ALIASES: usize = 16;
/// Compression pointers in one name; each must point backwards besides.
const MAX_POINTERS: usize = 32;
/// No name is longer (RFC 1035, 2.3.4).
const MAX_NAME: usize = 253;

/// Which addresses are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

impl Family {
    fn code(self) -> u16 {
        match self {
            Self::V4 => 1,
            Self::V6 => 28,
        }
    }
}

const CNAME: u16 = 5;
const PTR: u16 = 12;
const INTERNET: u16 = 1;

/// What a server said about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The addresses; none when the name exists without any of this family.
    Addresses(Vec<IpAddr>),
    /// The server could not or would not answer: the response code.
    Failed(u8),
    /// There is no such name.
    NoSuchName,
    /// The answer did not fit: ask again by TCP.
    Truncated,
}

/// The message is not the answer to this query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAnswer {
    /// It ends too early, or its names make no sense.
    #[error("malformed DNS message")]
    Malformed,
    /// It answers something else.
    #[error("an answer to another question")]
    Unrelated,
}

/// Encodes the query; `None` for a text that is no DNS name.
#[must_use]
pub fn query(id: u16, name: &str, family: Family) -> Option<Vec<u8>> {
    question(id, name, family.code())
}

/// Encodes the query for the names of an address.
#[must_use]
pub fn reverse_query(id: u16, address: IpAddr) -> Vec<u8> {
    // Such a name is always one.
    question(id, &reverse_name(address), PTR).unwrap_or_default()
}

/// `2.0.0.10.in-addr.arpa`, and the same for IPv6 (RFC 3596).
fn reverse_name(address: IpAddr) -> String {
    let (labels, zone): (Vec<String>, _) = match address {
        IpAddr::V4(ip) => {
            let bytes = ip.octets();
            let labels = bytes.iter().rev().map(ToString::to_string).collect();
            (labels, "in-addr.arpa")
        }
        IpAddr::V6(ip) => {
            let digits = ip.octets().into_iter().rev();
            let digits = digits.flat_map(|byte| [byte & 15, byte >> 4]);
            (
                digits.map(|digit| format!("{digit:x}")).collect(),
                "ip6.arpa",
            )
        }
    };
    format!("{}.{zone}", labels.join("."))
}

fn question(id: u16, name: &str, kind: u16) -> Option<Vec<u8>> {
    if name.is_empty() || name.len() > MAX_NAME {
        return None;
    }
    let mut message = Vec::with_capacity(name.len() + 18);
    message.extend_from_slice(&id.to_be_bytes());
    // Recursion desired, one question, nothing else.
    message.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok()?;
        if !(1..=63).contains(&length) || !label.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        message.push(length);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&INTERNET.to_be_bytes());
    Some(message)
}

/// Whether a text can be asked for at all.
#[must_use]
pub fn is_name(text: &str) -> bool {
    query(0, text.strip_suffix('.').unwrap_or(text), Family::V4).is_some()
}

/// Reads an answer to [`query`]: addresses of the name itself or of what it is an alias of.
///
/// # Errors
/// [`NotAnAnswer`].
pub fn reply(message: &[u8], id: u16, name: &str, family: Family) -> Result<Reply, NotAnAnswer> {
    let mut reader = Reader { message, at: 0 };
    let answers = match reader.answers(id, name, family.code())? {
        Ok(answers) => answers,
        Err(reply) => return Ok(reply),
    };
    let mut addresses = Vec::new();
    let mut aliases = Vec::new();
    for _ in 0..answers {
        let record = reader.record()?;
        if record.kind == CNAME {
            let at = record.at;
            let mut target = Reader { message, at };
            aliases.push((record.owner, target.name()?));
        } else if record.kind == family.code() {
            let address = address(record.data, family).ok_or(NotAnAnswer::Malformed)?;
            addresses.push((record.owner, address));
        }
    }
    // Records may come in any order, so the chain of aliases is followed when all are read.
    let mut names = vec![name.to_owned()];
    for _ in 0..MAX_ALIASES {
        let Some(last) = names.last() else { break };
        let next = aliases
            .iter()
            .find(|(owner, _)| owner.eq_ignore_ascii_case(last));
        match next {
            Some((_, target)) => names.push(target.clone()),
            None => break,
        }
    }
    Ok(Reply::Addresses(
        addresses
            .into_iter()
            .filter(|(owner, _)| names.iter().any(|name| name.eq_ignore_ascii_case(owner)))
            .map(|(_, address)| address)
            .collect(),
    ))
}

/// Reads an answer to [`reverse_query`]; none when the server knows no name.
///
/// # Errors
/// [`NotAnAnswer`].
pub fn names(message: &[u8], id: u16, address: IpAddr) -> Result<Vec<String>, NotAnAnswer> {
    let mut reader = Reader { message, at: 0 };
    let name = reverse_name(address);
    let Ok(answers) = reader.answers(id, &name, PTR)? else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for _ in 0..answers {
        let record = reader.record()?;
        if record.kind == PTR && record.owner.eq_ignore_ascii_case(&name) {
            let at = record.at;
            names.push(Reader { message, at }.name()?);
        }
    }
    Ok(names)
}

fn address(bytes: &[u8], family: Family) -> Option<IpAddr> {
    Some(match family {
        Family::V4 => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into(),
        Family::V6 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into(),
    })
}

/// A record of an answer, of the internet's class or else of no kind.
struct Record<'m> {
    owner: String,
    kind: u16,
    data: &'m [u8],
    /// Where the data begins.
    at: usize,
}

struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Reader<'m> {
    /// Reads the head and the question; how many answers follow, or why there are none.
    fn answers(
        &mut self,
        id: u16,
        name: &str,
        kind: u16,
    ) -> Result<Result<u16, Reply>, NotAnAnswer> {
        let (found, flags) = (self.u16()?, self.u16()?);
        let (questions, answers) = (self.u16()?, self.u16()?);
        self.skip(4)?;
        if found != id || flags & 0x8000 == 0 || questions != 1 {
            return Err(NotAnAnswer::Unrelated);
        }
        let asked = (self.name()?, self.u16()?, self.u16()?);
        if !asked.0.eq_ignore_ascii_case(name) || (asked.1, asked.2) != (kind, INTERNET) {
            return Err(NotAnAnswer::Unrelated);
        }
        if flags & 0x0200 != 0 {
            return Ok(Err(Reply::Truncated));
        }
        Ok(match flags.to_be_bytes() {
            [_, low] if low & 0x0f == 0 => Ok(answers),
            [_, low] if low & 0x0f == 3 => Err(Reply::NoSuchName),
            [_, low] => Err(Reply::Failed(low & 0x0f)),
        })
    }

    fn record(&mut self) -> Result<Record<'m>, NotAnAnswer> {
        let owner = self.name()?;
        let (kind, class) = (self.u16()?, self.u16()?);
        self.skip(4)?; // time to live
        let length = usize::from(self.u16()?);
        let at = self.at;
        self.skip(length)?;
        Ok(Record {
            owner,
            kind: if class == INTERNET { kind } else { 0 },
            data: self.message.get(at..self.at).unwrap_or_default(),
            at,
        })
    }

    fn u8(&mut self) -> Result<u8, NotAnAnswer> {
        let byte = self.message.get(self.at).ok_or(NotAnAnswer::Malformed)?;
        self.at += 1;
        Ok(*byte)
    }

    fn u16(&mut self) -> Result<u16, NotAnAnswer> {
        Ok(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    fn skip(&mut self, count: usize) -> Result<(), NotAnAnswer> {
        self.at += count;
        if self.at > self.message.len() {
            return Err(NotAnAnswer::Malformed);
        }
        Ok(())
    }

    /// A name, with its compression pointers followed; the reader ends behind the name's own
    /// bytes. Each pointer must point before where it stands, so that no loop is possible.
    fn name(&mut self) -> Result<String, NotAnAnswer> {
        let mut name = String::new();
        let mut end = None;
        let mut pointers = 0;
        loop {
            let here = self.at;
            let length = self.u8()?;
            match length {
                0 => break,
                1..=63 => {
                    let label = self.at;
                    self.skip(usize::from(length))?;
                    let label = self.message.get(label..self.at).unwrap_or_default();
                    if !label.iter().all(u8::is_ascii_graphic) {
                        return Err(NotAnAnswer::Malformed);
                    }
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.push_str(&String::from_utf8_lossy(label));
                    if name.len() > MAX_NAME {
                        return Err(NotAnAnswer::Malformed);
                    }
                }
                192..=255 => {
                    let target = usize::from(u16::from_be_bytes([length & 0x3f, self.u8()?]));
                    pointers += 1;
                    if target >= here || pointers > MAX_POINTERS {
                        return Err(NotAnAnswer::Malformed);
                    }
                    end.get_or_insert(self.at);
                    self.at = target;
                }
                64..=191 => return Err(NotAnAnswer::Malformed),
            }
        }
        self.at = end.unwrap_or(self.at);
        Ok(name)
    }
}

#[cfg(test)]
mod tests;

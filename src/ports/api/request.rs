//! Requests: from bytes to a method, a path and a body, within limits. Pure.

use super::answer::{Answer, Then};

/// No head of a request is longer.
pub const MAX_HEAD: usize = 8 * 1024;
/// No body of a request is longer.
pub const MAX_BODY: usize = 64 * 1024;
/// No request has more headers.
const MAX_HEADERS: usize = 64;

/// A whole request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// `GET` and so on.
    pub method: &'a str,
    /// Without scheme, host and query.
    pub path: &'a str,
    /// As long as its head says.
    pub body: &'a [u8],
    /// What the client wants of the connection.
    pub then: Then,
    /// Bytes of head and body.
    pub length: usize,
}

/// What the bytes so far are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// More must come. Some clients wait for a word before they send a long body.
    Incomplete {
        /// This client does.
        waits_for_continue: bool,
    },
    /// A whole request, and perhaps the beginning of the next.
    Request(Request<'a>),
    /// Nothing that we read. What follows cannot be understood either.
    Refused(Answer),
}

/// Reads the first request of a connection's bytes.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parsed<'_> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    // Not a byte more, though it may be here already: what stands behind the limit changes no
    // answer, however the bytes arrive.
    let head = bytes.get(..MAX_HEAD).unwrap_or(bytes);
    let head = match request.parse(head) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => {
            return Parsed::Incomplete {
                waits_for_continue: false,
            };
        }
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return refused("431 Request Header Fields Too Large");
        }
        Err(_) => return refused("400 Bad Request"),
    };
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return refused("400 Bad Request");
    };
    let Fields {
        length,
        close,
        waits_for_continue,
    } = match Fields::of(request.headers) {
        Ok(fields) => fields,
        Err(status) => return refused(status),
    };
    let end = head + length;
    let Some(body) = bytes.get(head..end) else {
        return Parsed::Incomplete { waits_for_continue };
    };
    Parsed::Request(Request {
        method,
        path: path(target),
        body,
        then: if close || request.version == Some(0) {
            Then::Close
        } else {
            Then::KeepAlive
        },
        length: end,
    })
}

/// What the headers say that matters here.
#[derive(Debug, Default)]
struct Fields {
    length: usize,
    close: bool,
    waits_for_continue: bool,
}

impl Fields {
    fn of(headers: &[httparse::Header<'_>]) -> Result<Self, &'static str> {
        let mut fields = Self::default();
        let mut lengths = 0;
        for header in headers {
            let value = header.value.trim_ascii();
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("Content-Length") {
                lengths += 1;
                fields.length = length(value)?;
            } else if is("Transfer-Encoding") {
                // Every client of this API knows the length of what it sends.
                return Err("411 Length Required");
            } else if is("Connection") {
                fields.close |= value.eq_ignore_ascii_case(b"close");
            } else if is("Expect") {
                fields.waits_for_continue |= value.eq_ignore_ascii_case(b"100-continue");
            }
        }
        // Two lengths are how one request is hidden in another.
        if lengths > 1 {
            return Err("400 Bad Request");
        }
        Ok(fields)
    }
}

fn length(value: &[u8]) -> Result<usize, &'static str> {
    let digits = std::str::from_utf8(value)
        .ok()
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or("400 Bad Request")?;
    match digits.parse() {
        Ok(length) if length <= MAX_BODY => Ok(length),
        _ => Err("413 Request Entity Too Large"),
    }
}

/// The path of a request target: `http://host/v1/info?x=1` is `/v1/info`.
fn path(target: &str) -> &str {
    let target = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => target,
    };
    target.split(['?', '#']).next().unwrap_or_default()
}

fn refused(status: &'static str) -> Parsed<'static> {
    Parsed::Refused(Answer::malformed(status))
}

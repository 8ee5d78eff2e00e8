//! The one HTTP exchange that we make, `GET /_ping`: request text and answer parser. Pure.

use crate::base::printable::line;

/// No head of an answer is longer.
pub const MAX_HEAD: usize = 16 * 1024;
/// So much of an error's body is read for its message.
pub const MAX_BODY: usize = 1024;
/// Longest piece of an answer that we show: it is somebody else's text.
const MAX_SHOWN: usize = 200;

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Status code.
    pub status: u16,
    /// `Server`, as it is: `Docker/28.5.2 (linux)`.
    pub server: Option<String>,
    /// `Api-Version`.
    pub api_version: Option<String>,
    /// `Content-Length`.
    pub content_length: Option<usize>,
    /// Where the body begins.
    pub length: usize,
}

/// The bytes are not the beginning of an HTTP answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an HTTP answer")]
pub struct NotHttp(#[source] pub httparse::Error);

/// The request. `host` and `prefix` come from a parsed address and hold no blanks.
#[must_use]
pub fn request(host: &str, prefix: &str) -> Vec<u8> {
    text(
        "GET",
        &format!("{prefix}/_ping"),
        host,
        "Connection: close",
        None,
    )
}

/// The same by a proxy, which is told the whole address.
#[must_use]
pub fn proxied_request(host: &str, prefix: &str, authorization: Option<&str>) -> Vec<u8> {
    let target = format!("http://{host}{prefix}/_ping");
    text("GET", &target, host, "Connection: close", authorization)
}

/// Whether dockerd says that it does not speak the version of the API that was asked for.
#[must_use]
pub fn is_about_version(message: &str) -> bool {
    message.starts_with("client version ")
}

/// Asks a proxy for a tunnel.
#[must_use]
pub fn tunnel_request(host: &str, authorization: Option<&str>) -> Vec<u8> {
    text(
        "CONNECT",
        host,
        host,
        "Proxy-Connection: keep-alive",
        authorization,
    )
}

fn text(method: &str, target: &str, host: &str, connection: &str, pass: Option<&str>) -> Vec<u8> {
    let pass = pass.map_or_else(String::new, |pass| {
        format!("Proxy-Authorization: {pass}\r\n")
    });
    format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: dind-init/{}\r\n{pass}\
         {connection}\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    )
    .into_bytes()
}

impl Head {
    /// Reads the head of an answer; `None` while it is incomplete.
    ///
    /// # Errors
    /// [`NotHttp`] as soon as the bytes cannot become an HTTP answer any more.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, NotHttp> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(bytes).map_err(NotHttp)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial if bytes.len() < MAX_HEAD => return Ok(None),
            httparse::Status::Partial => return Err(NotHttp(httparse::Error::TooManyHeaders)),
        };
        let header = |name: &str| {
            response
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name))
                .map(|header| printable(header.value))
                .filter(|value| !value.is_empty())
        };
        Ok(Some(Self {
            status: response.code.unwrap_or(0),
            server: header("Server"),
            api_version: header("Api-Version"),
            content_length: header("Content-Length").and_then(|value| value.parse().ok()),
            length,
        }))
    }

    /// What answered, only as far as the answer says: `docker 28.5.2 api 1.51`.
    #[must_use]
    pub fn engine(&self) -> String {
        let mut words = Vec::new();
        if let Some(product) = self
            .server
            .as_deref()
            .and_then(|s| s.split_whitespace().next())
        {
            match product.split_once('/') {
                Some((name, version)) => {
                    words.push(name.to_ascii_lowercase());
                    words.push(version.to_owned());
                }
                None => words.push(product.to_owned()),
            }
        }
        if let Some(version) = &self.api_version {
            words.push(format!("api {version}"));
        }
        if words.is_empty() {
            words.push("a daemon that names no version".into());
        }
        words.join(" ")
    }
}

/// The message of an error answer in JSON, as dockerd and the port driver give it; whole, as it is.
#[must_use]
pub fn json_message(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Refusal {
        message: String,
    }
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    Some(refusal.message)
}

/// The message of an error answer: dockerd's JSON, or the first line of a text.
#[must_use]
pub fn message(body: &[u8]) -> String {
    if let Some(text) = json_message(body) {
        return printable(text.as_bytes());
    }
    let line = body.trim_ascii().split(|&byte| byte == b'\n').next();
    printable(line.unwrap_or_default())
}

/// Somebody else's bytes as one short line.
fn printable(bytes: &[u8]) -> String {
    line(bytes.trim_ascii()).at_most(MAX_SHOWN).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DOCKER: &str = "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nBuilder-Version: 2\r\n\
        Content-Length: 2\r\nServer: Docker/28.5.2 (linux)\r\n\r\nOK";

    #[test]
    fn reads_what_dockerd_answers() {
        let head = Head::parse(DOCKER.as_bytes()).unwrap().unwrap();
        assert_eq!(head.status, 200);
        assert_eq!(head.content_length, Some(2));
        assert_eq!(&DOCKER[head.length..], "OK");
        assert_eq!(head.engine(), "docker 28.5.2 api 1.51");
    }

    #[test]
    fn says_only_what_the_answer_says() {
        for (headers, want) in [
            ("Server: Libpod/5.2.0 (linux)\r\n", "libpod 5.2.0"),
            ("Api-Version: 1.40\r\n", "api 1.40"),
            ("Server: nginx\r\n", "nginx"),
            ("Server: \r\n", "a daemon that names no version"),
            ("", "a daemon that names no version"),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
            let head = Head::parse(text.as_bytes()).unwrap().unwrap();
            assert_eq!(head.engine(), want);
        }
    }

    #[test]
    fn every_beginning_of_an_answer_is_incomplete() {
        let end = DOCKER.find("\r\n\r\n").unwrap() + 4;
        for length in 0..end {
            let part = &DOCKER.as_bytes()[..length];
            assert_eq!(Head::parse(part), Ok(None), "{length}");
        }
    }

    #[test]
    fn other_protocols_and_endless_heads_are_not_http() {
        assert!(Head::parse(b"SSH-2.0-OpenSSH").is_err());
        assert!(Head::parse(b"\x15\x03\x01\x00\x02\x02\x46").is_err());
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(MAX_HEAD));
        assert!(Head::parse(endless.as_bytes()).is_err());
    }

    #[test]
    fn a_message_is_one_printable_line() {
        for (body, want) in [
            (
                r#"{"message":"no such thing\u001b[31m"}"#,
                r"no such thing\u{1b}[31m",
            ),
            (
                "Client sent an HTTP request to an HTTPS server.\n",
                "Client sent an HTTP request to an HTTPS server.",
            ),
            ("first\nsecond", "first"),
            ("", ""),
        ] {
            assert_eq!(message(body.as_bytes()), want);
        }
    }

    #[test]
    fn the_request_is_complete() {
        let text = String::from_utf8(request("docker:2375", "/engine")).unwrap();
        assert!(text.starts_with("GET /engine/_ping HTTP/1.1\r\nHost: docker:2375\r\n"));
        assert!(text.ends_with("\r\n\r\n"));
        let text = String::from_utf8(proxied_request("docker:1", "", Some("Basic x"))).unwrap();
        assert!(text.starts_with("GET http://docker:1/_ping HTTP/1.1\r\nHost: docker:1\r\n"));
        assert!(text.contains("\r\nProxy-Authorization: Basic x\r\n"));
        let text = String::from_utf8(tunnel_request("docker:2", None)).unwrap();
        assert!(text.starts_with("CONNECT docker:2 HTTP/1.1\r\nHost: docker:2\r\n"));
        assert!(!text.contains("Authorization"));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Head::parse(&bytes);
            prop_assert!(!message(&bytes).contains(|c: char| c.is_control()));
        }
    }
}

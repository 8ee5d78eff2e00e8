//! The other end of the API, for a dockerd that does not speak it itself
//! ([`crate::commands::docker_proxy`]).

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::super::backend::Backend;
use super::BACKENDS;
use crate::config::rootless::port::PortSpec;
use crate::net::connect;
use crate::net::deadline::{Deadline, Wire};
use crate::net::http::{self, Head, MAX_BODY, MAX_HEAD, NotHttp};

/// Of one call; two come before docker-proxy, which dockerd gives 16 seconds.
const LIMIT: Duration = Duration::from_secs(5);

/// An API at a socket.
#[derive(Debug, Clone)]
pub struct Api {
    pub socket: PathBuf,
}

/// What a client of the API needs to know of `GET /v1/info`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Offer {
    pub network_driver: Option<NetworkOffer>,
    pub port_driver: Option<PortOffer>,
}

/// Of the network driver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NetworkOffer {
    /// Its address in the child namespaces.
    #[serde(rename = "childIP")]
    pub child_ip: Option<IpAddr>,
}

/// Of the port driver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PortOffer {
    /// Its name; `none` and `implicit` publish nothing by the API.
    pub driver: String,
    /// Protocols that it serves.
    pub protos: Vec<String>,
    /// Whether ports are to be mapped to the network driver's address.
    #[serde(rename = "disallowLoopbackChildIP")]
    pub disallow_loopback_child_ip: bool,
}

/// A call that was not granted.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nobody answers.
    #[error("could not ask {}", socket.display())]
    Io { socket: PathBuf, source: io::Error },
    /// Something else answers.
    #[error("{} does not answer as the port driver's API", socket.display())]
    Foreign {
        socket: PathBuf,
        /// What is wrong with the answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It says no.
    #[error("{0}")]
    Refused(String),
}

/// The number of a port that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Published {
    id: i64,
}

impl Api {
    /// What the API offers.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn offer(&self) -> Result<Offer, ApiError> {
        self.json(&self.call("GET", "/v1/info", "")?)
    }

    /// Publishes a port.
    ///
    /// # Errors
    /// [`ApiError`]; the texts of refusals are those that dockerd shows.
    pub fn add(&self, spec: &PortSpec) -> Result<Published, ApiError> {
        let body = serde_json::to_string(spec).map_err(|error| self.foreign(error))?;
        self.json(&self.call("POST", "/v1/ports", &body)?)
    }

    /// Takes a port back.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn remove(&self, published: Published) -> Result<(), ApiError> {
        self.call("DELETE", &format!("/v1/ports/{}", published.id), "")?;
        Ok(())
    }

    /// Says which container is behind a port that is published.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn behind(&self, backend: Backend) -> Result<(), ApiError> {
        let body = backend.to_json().map_err(|error| self.foreign(error))?;
        self.call("POST", BACKENDS, &body)?;
        Ok(())
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Result<Vec<u8>, ApiError> {
        let failed = |source| ApiError::Io {
            socket: self.socket.clone(),
            source,
        };
        let mut deadline = Deadline::new(LIMIT);
        let socket = connect::unix(&self.socket, &mut deadline).map_err(failed)?;
        let mut wire = Wire {
            fd: socket.as_fd(),
            deadline: &mut deadline,
        };
        wire.write_all(&request(method, path, body))
            .map_err(failed)?;
        let mut bytes = Vec::new();
        let limit = u64::try_from(MAX_HEAD + MAX_BODY).unwrap_or(u64::MAX);
        wire.take(limit).read_to_end(&mut bytes).map_err(failed)?;
        let (status, body) = answer(&bytes).map_err(|error| self.foreign(error))?;
        match status {
            200..=299 => Ok(body.to_vec()),
            _ => Err(ApiError::Refused(message(body))),
        }
    }

    fn json<T: for<'a> Deserialize<'a>>(&self, body: &[u8]) -> Result<T, ApiError> {
        serde_json::from_slice(body).map_err(|error| self.foreign(error))
    }

    fn foreign(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ApiError {
        ApiError::Foreign {
            socket: self.socket.clone(),
            source: source.into(),
        }
    }
}

/// A whole request, after whose answer the server closes.
fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: rootlesskit\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The whole message of a refusal, which is for dockerd's user.
fn message(body: &[u8]) -> String {
    match http::json_message(body) {
        Some(message) => message.replace(char::is_control, " "),
        None => http::message(body),
    }
}

/// Status and body of a whole answer.
fn answer(bytes: &[u8]) -> Result<(u16, &[u8]), NotHttp> {
    let head = Head::parse(bytes)?.ok_or(NotHttp(httparse::Error::Status))?;
    let body = bytes.get(head.length..).unwrap_or_default();
    Ok((head.status, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::rootless::ChildSide;
    use crate::config::rootless::port::Transport;
    use crate::ports::api::Call;
    use crate::ports::api::answer::{Answer, Then};
    use crate::ports::api::info::{Info, NetworkDriver};
    use crate::ports::api::request::{Parsed, parse};

    #[test]
    fn the_api_understands_our_requests() {
        let spec = PortSpec::from_json(br#"{"proto":"tcp4","parentPort":8080,"childPort":80}"#);
        let spec = spec.unwrap();
        let body = serde_json::to_string(&spec).unwrap();
        let addresses = ["127.0.0.1:8080", "172.17.0.2:80"].map(|text| text.parse().unwrap());
        let backend = Backend::new(Transport::Tcp, addresses[0], addresses[1]).unwrap();
        let told = backend.to_json().unwrap();
        for (method, path, body, call) in [
            ("POST", "/v1/ports", &*body, Call::Add(spec)),
            ("GET", "/v1/info", "", Call::Info),
            ("DELETE", "/v1/ports/7", "", Call::Remove(7)),
            ("POST", BACKENDS, &*told, Call::Behind(backend)),
        ] {
            let bytes = request(method, path, body);
            let Parsed::Request(parsed) = parse(&bytes) else {
                panic!("{method} {path} is no whole request");
            };
            assert_eq!(parsed.then, Then::Close);
            assert_eq!(Call::parse(&parsed).unwrap(), call);
        }
    }

    #[test]
    fn we_understand_the_answers_of_the_api() {
        let driver = NetworkDriver {
            driver: "slirp4netns".into(),
            dns: Vec::new(),
            child_ip: Some([10, 0, 2, 100].into()),
            dynamic_child_ip: false,
            ipv6: false,
        };
        let offer = |side| {
            let info = Info::new("/state".into(), 7, driver.clone(), side);
            let bytes = Answer::info(&info).bytes(Then::Close);
            let (status, body) = answer(&bytes).unwrap();
            assert_eq!(status, 200);
            serde_json::from_slice::<Offer>(body).unwrap()
        };
        let tap = offer(Some(ChildSide::Tap));
        let port = tap.port_driver.unwrap();
        assert!(port.disallow_loopback_child_ip && port.protos.contains(&"udp4".into()));
        assert_eq!(tap.network_driver.unwrap().child_ip, driver.child_ip);
        assert_eq!(offer(None).port_driver, None);
        let refused = Answer::refusal("in use").bytes(Then::Close);
        let (status, body) = answer(&refused).unwrap();
        assert_eq!((status, &*message(body)), (400, "in use"));
        let long = format!("listen: {}", "x".repeat(300));
        let refused = Answer::refusal(&long).bytes(Then::Close);
        assert_eq!(message(answer(&refused).unwrap().1), long);
        assert!(answer(b"HTTP/1.1 200 OK\r\n").is_err());
    }
}

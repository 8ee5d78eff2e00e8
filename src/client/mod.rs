//! The client side: everything that talks to a daemon, or runs beside one, and is not PID 1.
//!
//! ```text
//! argv, environment ─▶ entrypoint: what docker-entrypoint.sh would exec     (pure plan, thin act)
//! flags, environment ─▶ endpoint: which daemon, plain or TLS                (pure)
//! endpoint ─▶ resolve ─▶ connect ─▶ ping: one GET /_ping, with a deadline   (reads only)
//! ping, again and again ─▶ wait        own: PID 1, once ─▶ probe, status
//! ```
//!
//! None of this runs in PID 1: TLS, HTTP and DNS live in short-lived processes only.

pub mod connect;
pub mod credentials;
pub mod duration;
pub mod endpoint;
pub mod entrypoint;
pub mod environment;
pub mod http;
pub mod own;
pub mod patience;
pub mod ping;
pub mod probe;
pub mod resolve;
pub mod stop;
pub mod wait;

//! What must hold of everything that reads strangers' bytes, one module for each fuzz target. The
//! targets give these functions to libFuzzer, and `tests/fuzz_seeds.rs` tries them on the seeds.

mod shape;

pub mod accounts;
pub mod api_request;
pub mod bind_question;
pub mod bridges;
pub mod cgroup;
pub mod credentials;
pub mod daemon_flags;
pub mod daemon_json;
pub mod data_root;
pub mod dns_reply;
pub mod flags;
pub mod hosts;
pub mod http_head;
pub mod mountinfo;
pub mod notice;
pub mod pem;
pub mod port_spec;
pub mod resolv_conf;
pub mod san;
pub mod status;
pub mod sub_ids;
pub mod tls_directory;

//! The one line that says that the API answers: when, where, and how a client gets there.

use super::status::Status;

/// For the log, once dockerd is ready.
#[must_use]
pub(super) fn greeting(status: &Status) -> String {
    let mut from = 0.0;
    let mut phases = Vec::new();
    for phase in &status.phases {
        phases.push(format!("{} {:.1}", phase.name, phase.at_ms - from));
        from = phase.at_ms;
    }
    let mut text = format!(
        "ready after {:.2} s ({} ms)",
        from / 1000.0,
        phases.join(", ")
    );
    if !status.endpoints.is_empty() {
        text.push_str(&format!("; API on {}", status.endpoints.join(", ")));
    }
    if !status.client.is_empty() {
        text.push_str(&format!("; clients: {}", status.client));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::status::Phase;

    #[test]
    fn it_names_phases_endpoints_and_the_clients_variables() {
        let phase = |name: &str, at_ms| Phase {
            name: name.into(),
            at_ms,
        };
        let status = Status {
            phases: vec![
                phase("sockets", 0.5),
                phase("exec", 5.0),
                phase("ready", 460.0),
            ],
            endpoints: vec!["unix:///s".into(), "tcp://[::]:2375 (plain HTTP)".into()],
            client: "DOCKER_HOST=tcp://docker:2375".into(),
            ..Status::default()
        };
        expect_test::expect![
            "ready after 0.46 s (sockets 0.5, exec 4.5, ready 455.0 ms); API on unix:///s, tcp://[::]:2375 (plain HTTP); clients: DOCKER_HOST=tcp://docker:2375"
        ]
        .assert_eq(&greeting(&status));
    }
}

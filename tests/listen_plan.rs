//! Which sockets are bound, for both command forms: the rules of ARCHITECTURE.md, decision 1.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use dind_init::base::explain::Explain;
use dind_init::config::{CommandForm, Config, Identity};
use dind_init::host::daemon_json::{Content, DaemonFile};
use dind_init::host::listen::{ActivatedSocket, ListenFacts, PathState};
use dind_init::plan::listen::{ListenPlan, PlannedSocket, plan};
use dind_init::plan::listen_refusal::ListenRefusal;

/// A case: command form, words, variables, daemon.json, and the facts.
struct Case {
    form: CommandForm,
    words: &'static [&'static str],
    env: Vec<(&'static str, &'static str)>,
    json: &'static str,
    facts: ListenFacts,
    uid: u32,
    gid: u32,
}

fn default_form(words: &'static [&'static str]) -> Case {
    let facts = ListenFacts {
        ipv6: true,
        ..ListenFacts::default()
    };
    Case {
        form: CommandForm::Default,
        words,
        env: vec![],
        json: "{}",
        facts,
        uid: 0,
        gid: 0,
    }
}

fn explicit_form(words: &'static [&'static str]) -> Case {
    Case {
        form: CommandForm::Explicit,
        ..default_form(words)
    }
}

impl Case {
    fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }

    fn json(self, json: &'static str) -> Self {
        Self { json, ..self }
    }

    fn at(mut self, path: &str, state: PathState) -> Self {
        self.facts.paths.insert(path.into(), state);
        self
    }

    fn plan(&self) -> Result<ListenPlan, ListenRefusal> {
        let words: Vec<OsString> = self.words.iter().map(OsString::from).collect();
        let env = self.env.iter().copied().collect();
        let identity = Identity {
            pid: 1,
            uid: self.uid,
            gid: self.gid,
        };
        let config = Config::new(self.form, &words, env, identity).expect("good settings");
        let keys = serde_json::from_str(self.json).expect("good JSON");
        let file = DaemonFile {
            path: PathBuf::from("/etc/docker/daemon.json"),
            content: Content::Keys(keys),
        };
        plan(&config, &file, &self.facts)
    }

    /// What is bound, in order, as short words.
    fn bound(&self) -> Vec<String> {
        let word = |socket: &PlannedSocket| match socket {
            PlannedSocket::Unix { path, .. } => path.display().to_string(),
            PlannedSocket::Tcp { address, .. } => address.to_string(),
            PlannedSocket::Inherited { fd, name } => format!("fd {fd} {name}"),
        };
        self.plan()
            .expect("a plan")
            .sockets
            .iter()
            .map(word)
            .collect()
    }

    fn unix(&self) -> (u32, u32) {
        let plan = self.plan().expect("a plan");
        let first = plan.sockets.iter().find_map(|socket| match socket {
            PlannedSocket::Unix { mode, gid, .. } => Some((*mode, *gid)),
            PlannedSocket::Tcp { .. } | PlannedSocket::Inherited { .. } => None,
        });
        first.expect("a unix socket")
    }
}

const SOCK: &str = "/var/run/docker.sock";

#[test]
fn the_default_form_binds_the_official_addresses() {
    assert_eq!(default_form(&[]).bound(), [SOCK, "[::]:2375"]);
    assert_eq!(
        default_form(&[]).env("DOCKER_TLS_CERTDIR", "/c").bound(),
        [SOCK, "[::]:2376"]
    );
    assert_eq!(
        default_form(&[]).env("DOCKER_HOST", "unix:///x").bound(),
        ["/x", "[::]:2375"]
    );
    let without_ipv6 = Case {
        facts: ListenFacts::default(),
        ..default_form(&[])
    };
    assert_eq!(without_ipv6.bound(), [SOCK, "0.0.0.0:2375"]);
}

#[test]
fn the_explicit_form_binds_what_dockerd_would_have_bound() {
    assert_eq!(
        explicit_form(&[]).env("DOCKER_TLS_CERTDIR", "/c").bound(),
        [SOCK]
    );
    assert_eq!(
        explicit_form(&["-H", "tcp://127.0.0.1:1"]).bound(),
        ["127.0.0.1:1"]
    );
    assert_eq!(
        explicit_form(&["--tlsverify", "-H="]).bound(),
        ["127.0.0.1:2376", "[::1]:2376"]
    );
}

#[test]
fn hosts_of_the_users_are_added_once() {
    let case = default_form(&[
        "-Hunix:///var/run/docker.sock",
        "--host",
        "tcp://0.0.0.0:2375",
    ]);
    assert_eq!(case.bound(), [SOCK, "[::]:2375"]);
    let case = default_form(&["-H=tcp://127.0.0.1:2375", "-H", "tcp://10.0.0.1:9"]);
    assert_eq!(
        case.bound(),
        [SOCK, "[::]:2375", "10.0.0.1:9"],
        "the wildcard serves 127.0.0.1"
    );
    let more = default_form(&[]).env("DIND_SOCKET_PATHS", "/a.sock, unix:///b.sock");
    assert_eq!(more.bound(), [SOCK, "[::]:2375", "/a.sock", "/b.sock"]);
}

#[test]
fn hosts_in_the_file_leave_everything_to_dockerd_and_say_so() {
    let case = default_form(&[]).json(r#"{"hosts": ["unix:///z"]}"#);
    let plan = case.plan().expect("a plan");
    assert!(
        plan.sockets.is_empty() && plan.notes[0].contains("hosts"),
        "{plan:?}"
    );
    let twice = default_form(&["-H", "tcp://:1"]).json(r#"{"hosts": []}"#);
    assert!(matches!(
        twice.plan(),
        Err(ListenRefusal::HostsTwice { .. })
    ));
}

#[test]
fn dockerd_binds_when_it_was_asked_to() {
    let plan = default_form(&[])
        .env("DIND_SOCKETS", "dockerd")
        .plan()
        .expect("a plan");
    assert!(plan.sockets.is_empty());
    assert_eq!(
        plan.left_to_dockerd,
        ["unix:///var/run/docker.sock", "tcp://0.0.0.0:2375"]
    );
}

#[test]
fn names_are_looked_up_in_the_hosts_file_or_left_to_dockerd() {
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    let mut case = explicit_form(&["-H", "tcp://box:1", "-H", "tcp://other:2"]);
    case.facts.hosts = vec![("box".into(), ip("::2")), ("box".into(), ip("10.1.1.1"))];
    assert_eq!(case.bound(), ["10.1.1.1:1"], "IPv4 first, as Go has it");
    assert_eq!(
        case.plan().expect("a plan").left_to_dockerd,
        ["tcp://other:2"]
    );
}

#[test]
fn the_group_is_ours_before_the_flag_before_the_file_before_docker() {
    let mut case = default_form(&[]);
    case.gid = 7;
    assert_eq!(case.unix(), (0o660, 7), "no group docker: our own");
    case.facts.groups.insert("docker".into(), 2375);
    assert_eq!(case.unix().1, 2375);
    case.json = r#"{"group": "30"}"#;
    assert_eq!(case.unix().1, 30);
    case.words = &["-G", "20"];
    assert_eq!(case.unix().1, 20);
    let case = case
        .env("DIND_SOCKET_GID", "10")
        .env("DIND_SOCKET_MODE", "0666");
    assert_eq!(case.unix(), (0o666, 10));
    let unknown = default_form(&["--group=nobody-knows"]);
    assert!(matches!(
        unknown.plan(),
        Err(ListenRefusal::UnknownGroup { .. })
    ));
}

#[test]
fn what_is_in_the_way_is_replaced_only_when_it_is_dead() {
    let state = |state| default_form(&[]).at(SOCK, state).plan();
    assert!(state(PathState::DeadSocket { mounted: false }).is_ok());
    assert!(state(PathState::EmptyDirectory { mounted: false }).is_ok());
    for bad in [
        PathState::LiveSocket { mounted: true },
        PathState::LiveSocket { mounted: false },
        PathState::DeadSocket { mounted: true },
        PathState::EmptyDirectory { mounted: true },
        PathState::Directory,
        PathState::Other("a file".into()),
    ] {
        let refusal = state(bad.clone()).expect_err("refused");
        assert!(refusal.to_string().contains(SOCK), "{bad:?}: {refusal}");
        assert!(!refusal.fix().is_empty() && refusal.exit_code() == 78);
    }
}

#[test]
fn plain_tcp_is_warned_of_narrowed_or_refused() {
    let case = |policy| default_form(&["-H", "tcp://10.0.0.1:9"]).env("DIND_TCP", policy);
    let warning = case("any")
        .plan()
        .expect("a plan")
        .exposure()
        .expect("a warning");
    assert!(
        warning.contains("[::]:2375") && warning.contains("10.0.0.1:9"),
        "{warning}"
    );
    assert!(matches!(
        case("loopback").plan(),
        Err(ListenRefusal::PlainTcp { .. })
    ));
    let narrowed = default_form(&[]).env("DIND_TCP", "loopback");
    assert_eq!(narrowed.bound(), [SOCK, "127.0.0.1:2375", "[::1]:2375"]);
    assert_eq!(narrowed.plan().expect("a plan").exposure(), None);
    assert!(matches!(
        case("refuse").plan(),
        Err(ListenRefusal::PlainTcp { .. })
    ));
    let tls = default_form(&[])
        .env("DIND_TCP", "refuse")
        .env("DOCKER_TLS_CERTDIR", "/c");
    assert_eq!(tls.plan().expect("a plan").exposure(), None);
    let unverified = explicit_form(&["--tls", "--tlsverify=false", "-H", "tcp://0.0.0.0:1"]);
    assert!(unverified.plan().expect("a plan").exposure().is_some());
    let verified = explicit_form(&["--tls", "-H", "tcp://0.0.0.0:1"]);
    assert_eq!(verified.plan().expect("a plan").exposure(), None);
}

#[test]
fn sockets_from_activation_are_passed_on_when_they_are_asked_for() {
    let socket = |fd: u32, listening| ActivatedSocket {
        fd,
        name: format!("n{fd}"),
        listening,
        address: None,
    };
    let mut case = explicit_form(&["-H", "fd://", "-H", "unix:///x"]);
    assert!(matches!(
        case.plan(),
        Err(ListenRefusal::NoActivation { .. })
    ));
    case.facts.activation = vec![socket(3, true), socket(4, true)];
    assert_eq!(case.bound(), ["fd 3 n3", "fd 4 n4", "/x"]);
    case.words = &["-H", "fd://4"];
    assert_eq!(case.bound(), ["fd 4 n4"]);
    case.facts.activation = vec![socket(4, false)];
    assert!(matches!(
        case.plan(),
        Err(ListenRefusal::NotListening { fd: 4 })
    ));
    let unasked = Case { words: &[], ..case };
    assert_eq!(unasked.bound(), [SOCK]);
}

const OWN: &str = "/run/user/1000/docker.sock";
/// Where the image's link leads, when the runtime directory had to be another one.
const OTHER: &str = "/run/user/1001/docker.sock";

/// A user, who can make nothing in /run nor in /.
fn user(mut case: Case) -> Case {
    (case.uid, case.gid) = (1000, 1000);
    let closed = [
        SOCK,
        "/run/docker.sock",
        "/docker.sock",
        "/run/x/docker.sock",
    ];
    case.facts.closed = closed.map(PathBuf::from).into();
    case.env("XDG_RUNTIME_DIR", "/run/user/1000")
}

/// CI systems give the service the client's variable; a nested container mounts what it names.
#[test]
fn what_a_user_cannot_make_is_made_inside_and_served_out_here_elsewhere() {
    for path in [SOCK, "/run/docker.sock"] {
        let host: &'static str = format!("unix://{path}").leak();
        let flags: &'static [&'static str] = vec!["--host", host].leak();
        for (case, tcp) in [
            (user(default_form(&[])).env("DOCKER_HOST", host), true),
            (user(default_form(flags)), true),
            (user(explicit_form(flags)), false),
        ] {
            let plan = case.plan().unwrap();
            let bound = case.bound();
            assert_eq!(bound[0], OWN);
            assert_eq!(bound[1..], ["[::]:2375"][..usize::from(tcp)]);
            assert_eq!(plan.left_to_dockerd, [host]);
            assert_eq!(plan.first_unix().unwrap(), PathBuf::from(OWN));
            assert!(plan.notes[0].contains("dockerd makes it in its namespaces"));
        }
    }
    // The image leads the standard path to where the API is.
    let mut case = user(default_form(&[])).env("DOCKER_HOST", "unix:///var/run/docker.sock");
    case.facts.links.insert(SOCK.into(), OWN.into());
    let plan = case.plan().unwrap();
    assert_eq!(case.bound(), [OWN, "[::]:2375"]);
    assert!(plan.left_to_dockerd.is_empty() && plan.notes.is_empty());
    // Where it leads to somebody else's, that one is neither replaced nor hidden.
    let standard = |at: &str, mounted| Some((at.into(), PathState::LiveSocket { mounted }));
    case.facts.links.clear();
    for (at, mounted) in [(OTHER, true), ("/run/docker.sock", false)] {
        case.facts.standard = standard(at, mounted);
        let plan = case.plan().unwrap();
        assert_eq!(case.bound(), [OWN, "[::]:2375"]);
        assert!(plan.left_to_dockerd.is_empty() && plan.inside.is_empty());
        let [note] = plan.notes.as_slice() else {
            panic!("{:?}", plan.notes)
        };
        assert!(
            note.contains("is left alone") && note.contains(OWN),
            "{note}"
        );
        assert_eq!(note.contains("was mounted there"), mounted);
        let mut request = user(explicit_form(&["--host", "unix:///run/docker.sock"]));
        request.facts.standard = standard(at, mounted);
        let refusal = request.plan().unwrap_err();
        assert!(
            matches!(refusal, ListenRefusal::LiveSocket { .. }),
            "{refusal}"
        );
    }
    let mut case = user(default_form(&[]));
    case.facts.standard = Some((OTHER.into(), PathState::DeadSocket { mounted: false }));
    let plan = case.plan().unwrap();
    assert!(plan.notes[0].contains("nobody serves"), "{:?}", plan.notes);
    case.facts.standard = standard(OWN, false);
    assert!(case.plan().unwrap().notes.is_empty());
    // What can be made is made.
    let case = user(default_form(&[])).env("DOCKER_HOST", "unix:///sock/docker.sock");
    assert_eq!(case.bound(), ["/sock/docker.sock", "[::]:2375"]);
}

#[test]
fn a_socket_that_can_be_made_nowhere_is_passed_over_or_refused() {
    for host in ["unix:///docker.sock", "unix:///run/x/docker.sock"] {
        let case = user(default_form(&[])).env("DOCKER_HOST", host);
        assert_eq!(case.bound(), [OWN, "[::]:2375"]);
        let note = &case.plan().unwrap().notes[0];
        assert!(
            note.contains(host) && note.contains("is passed over"),
            "{note}"
        );
    }
    let refused = user(explicit_form(&["-H", "unix:///docker.sock"]));
    let refused = refused.plan().unwrap_err();
    assert_eq!(refused.to_string(), "uid 1000 cannot make /docker.sock");
    assert!(refused.why().starts_with("/ is not a directory"));
    assert!(refused.fix().contains("/run"));
    let both = user(default_form(&["-H", "unix:///docker.sock"]));
    let both = both.env("DOCKER_HOST", "unix:///docker.sock");
    assert!(both.plan().is_err(), "a flag is a request");
}

/// As dockerd does: a link in the way is unlinked, where nothing is behind it.
#[test]
fn a_link_that_leads_nowhere_is_replaced() {
    let plan = default_form(&[])
        .at(SOCK, PathState::DeadLink)
        .plan()
        .unwrap();
    assert!(plan.to_string().contains("in place of"));
}

/// Only dockerd sees it: PID 1 must not wait for an answer there.
#[test]
fn a_socket_that_dockerd_binds_inside_is_not_ours_to_ping() {
    let case = user(default_form(&[]))
        .env("DOCKER_HOST", "unix:///var/run/docker.sock")
        .env("DIND_SOCKETS", "dockerd");
    assert_eq!(case.plan().unwrap().first_unix(), None);
}

#[test]
fn a_relative_path_is_below_the_working_directory() {
    let words: Vec<OsString> = vec!["--host=unix://docker2.sock".into()];
    let identity = Identity {
        pid: 1,
        uid: 0,
        gid: 0,
    };
    let env = [("DOCKER_HOST", "unix://first.sock")].into_iter().collect();
    let mut config = Config::new(CommandForm::Default, &words, env, identity).expect("good");
    config.directory = PathBuf::from("/srv");
    let file = DaemonFile {
        path: PathBuf::from("/etc/docker/daemon.json"),
        content: Content::Absent,
    };
    let plan = plan(&config, &file, &ListenFacts::default()).expect("a plan");
    let paths = plan.sockets.iter().filter_map(|socket| match socket {
        PlannedSocket::Unix { path, .. } => Some(path.to_str().expect("text")),
        _ => None,
    });
    assert_eq!(
        paths.collect::<Vec<&str>>(),
        ["/srv/first.sock", "/srv/docker2.sock"]
    );
}

#[test]
fn a_script_that_stays_leaves_the_same_addresses_to_dockerd() {
    let mut case = default_form(&["--host=unix:///run/x.sock", "--host=tcp://localhost:2400"])
        .env("DOCKER_TLS_CERTDIR", "");
    let held = case.plan().expect("a plan");
    assert!(!held.by_script && held.left_to_dockerd.is_empty());
    case.facts.script = Some("/usr/local/sbin/dockerd".into());
    let plan = case.plan().expect("a plan");
    assert!(plan.by_script && plan.sockets.is_empty());
    assert_eq!(
        plan.left_to_dockerd,
        [
            "unix:///var/run/docker.sock",
            "tcp://0.0.0.0:2375",
            "unix:///run/x.sock",
            "tcp://127.0.0.1:2400"
        ]
    );
    assert!(plan.notes[0].contains("exec dockerd"), "{:?}", plan.notes);
    assert_eq!(plan.exposure(), held.exposure());
    assert!(plan.exposure().is_some());

    // The user's policies hold there as well.
    case.env.push(("DIND_TCP", "loopback"));
    let plan = case.plan().expect("a plan");
    assert_eq!(plan.left_to_dockerd[1], "tcp://127.0.0.1:2375");
}

#[test]
fn plain_tcp_is_judged_whoever_binds_it() {
    let judged = |policy: &'static str| {
        let mut passed = explicit_form(&["-H", "fd://"]).env("DIND_TCP", policy);
        passed.facts.activation = vec![ActivatedSocket {
            fd: 3,
            name: "api".into(),
            listening: true,
            address: Some("[::]:2375".parse().expect("an address")),
        }];
        let cases = [
            default_form(&[])
                .env("DIND_TCP", policy)
                .env("DIND_SOCKETS", "dockerd"),
            default_form(&[])
                .env("DIND_TCP", policy)
                .json(r#"{"hosts": ["unix:///x", "tcp://0.0.0.0:2375"]}"#),
            explicit_form(&["-H", "tcp://ci.example:2375"]).env("DIND_TCP", policy),
            passed,
        ];
        cases.map(|case| case.plan())
    };
    for plan in judged("any") {
        let warning = plan.expect("a plan").exposure().expect("a warning");
        assert!(warning.contains(":2375"), "{warning}");
    }
    for plan in judged("loopback").into_iter().chain(judged("refuse")) {
        let refusal = plan.expect_err("a refusal");
        assert!(
            matches!(refusal, ListenRefusal::PlainTcp { .. }),
            "{refusal:?}"
        );
    }
    let loopback = default_form(&[])
        .env("DIND_TCP", "refuse")
        .json(r#"{"hosts": ["tcp://127.0.0.1:2375", "tcp://[::1]:1", "fd://"]}"#);
    assert_eq!(loopback.plan().expect("a plan").exposure(), None);
}

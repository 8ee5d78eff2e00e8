//! Runs the cases, inside the container.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use rustix::process::Signal;

use super::judge::{Judge, Usual};
use super::life::{Came, Life};
use super::plant::{Kind, Where, plant};
use super::trace;
use super::world::{SHARED, Who, World};
use crate::container::Container;
use crate::lab::Lab;

/// Starts the container and passes on what it finds.
pub(super) fn follow(lab: &'static Lab, container: &Container) {
    let mut command = std::process::Command::new(std::env::var_os("DIND_LAB_DOCKER").expect("it"));
    let status = command.args(["start", "--attach", &container.id]).status();
    let status = status.expect("the docker client");
    let _ = lab;
    assert!(status.success(), "see above");
}

/// One case.
#[derive(Debug, Clone)]
struct Case {
    who: Who,
    path: PathBuf,
    kind: Kind,
    /// While dockerd runs, or before the start.
    late: bool,
}

/// Not a test, but the program of the container.
#[test]
fn all() {
    // Set in the container alone: on a machine it would make and change what is not ours.
    if std::env::var_os("HOSTILE_INSIDE").is_none() {
        return;
    }
    let seconds = std::env::var("HOSTILE_SECONDS").expect("HOSTILE_SECONDS");
    let seconds: u64 = seconds.parse().expect("HOSTILE_SECONDS is a number");
    let seed = std::env::var("HOSTILE_SEED").unwrap_or_default();
    let begin = Instant::now();
    for (at, _) in SHARED {
        fs::create_dir_all(at).expect("a directory");
    }
    for at in ["/outside", "/outer", "/worlds"] {
        fs::create_dir_all(at).expect("a directory");
    }
    let tun = fs::Permissions::from_mode(0o666);
    fs::set_permissions("/dev/net/tun", tun).expect("/dev/net/tun");
    let looks = Who::ALL.map(|who| (who, look(who)));
    let mut cases = Vec::new();
    for (who, (paths, usual)) in &looks {
        say(&format!("{who:?}: {} paths; usual: {usual:?}", paths.len()));
        for path in paths {
            say(&format!("  {}", path.display()));
        }
        cases.extend(all_of(*who, paths));
    }
    let usual = looks.map(|(who, (_, usual))| (who, usual));
    in_order(&mut cases, &seed);
    if let Some(only) = std::env::var("HOSTILE_ONLY")
        .ok()
        .filter(|only| !only.is_empty())
    {
        cases.retain(|case| format!("{case:?}").contains(&only));
    }
    say(&format!("{} cases, seed {seed}", cases.len()));
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let limit = (seconds > 0).then(|| Duration::from_secs(seconds));
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (next, found, cases) = (&next, &found, &cases);
            scope.spawn(move || {
                let terminal = Terminal::open();
                while limit.is_none_or(|limit| begin.elapsed() < limit) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(number) else { break };
                    let usual = usual.iter().find(|(who, _)| *who == case.who);
                    let usual = usual.map(|(_, usual)| *usual).unwrap_or_default();
                    let name = format!("{worker}-{number}");
                    let mut wrong = run(&name, case, usual, &terminal);
                    // The machine is not ours alone: late twice in a row is no accident.
                    if !wrong.is_empty() && wrong.iter().all(|line| line.contains(" took ")) {
                        wrong = run(&name, case, usual, &terminal);
                    }
                    if !wrong.is_empty() {
                        let mut text = format!("{case:?}\n");
                        wrong
                            .iter()
                            .for_each(|line| text.push_str(&format!("    {line}\n")));
                        say(&text);
                        if let Ok(mut found) = found.lock() {
                            found.push(text);
                        }
                    }
                }
            });
        }
    });
    let done = next.load(Ordering::Relaxed).min(cases.len());
    let found = found.into_inner().expect("the findings");
    say(&format!(
        "{done} of {} cases in {} s, {} went wrong",
        cases.len(),
        begin.elapsed().as_secs(),
        found.len()
    ));
    assert!(
        done > 0 && found.is_empty(),
        "{} cases went wrong",
        found.len()
    );
}

fn say(text: &str) {
    let _ = std::io::stderr().write_all(format!("{}\n", text.trim_end()).as_bytes());
}

/// Traces lives in a new world and in one that a killed daemon left; a name that is another one
/// each time cannot be planted at. Then measures lives that nobody disturbs.
fn look(who: Who) -> (BTreeSet<PathBuf>, Usual) {
    let traced = |name: &str, like: Option<&Path>| {
        let dir = Path::new("/traces").join(format!("{who:?}-{name}"));
        fs::create_dir_all(&dir).expect("a directory");
        let world = World::new(name, who, like);
        let mut life = Life::start(&world, &trace::tracer(&dir));
        let (came, _) = life.until_ready();
        assert_eq!(came, Came::Ready, "{}", life.log());
        life.inside(&["dind-init", "status"]);
        life.kill_dockerd();
        assert_eq!(life.until_ready().0, Came::Ready, "{}", life.log());
        life.stop();
        trace::paths(&dir)
    };
    let mut paths: BTreeSet<_> = &traced("new-1", None) & &traced("new-2", None);
    let old = left_over(who);
    paths.extend(&traced("old-1", Some(&old)) & &traced("old-2", Some(&old)));

    let mut usual = Usual::default();
    for number in 0..3 {
        let world = World::new(
            &format!("usual-{number}"),
            who,
            (number > 0).then_some(&old),
        );
        let mut life = Life::start(&world, &[]);
        let (came, start) = life.until_ready();
        assert_eq!(came, Came::Ready, "{}", life.log());
        life.kill_dockerd();
        let (came, again) = life.until_ready();
        assert_eq!(came, Came::Ready, "{}", life.log());
        let peak = life.peak();
        let (code, stop) = life.stop();
        assert_eq!(code, Some(0), "{}", life.log());
        usual = Usual {
            start: usual.start.max(start),
            again: usual.again.max(again),
            stop: usual.stop.max(stop),
            peak: usual.peak.max(peak),
            largest: usual.largest.max(life.largest()),
        };
    }
    (paths, usual)
}

/// What a killed daemon leaves, ours and dockerd's.
fn left_over(who: Who) -> PathBuf {
    let old = who.left_over();
    fs::create_dir_all(&old).expect("a directory");
    let world = World::new("left", who, None);
    let mut life = Life::start(&world, &[]);
    assert_eq!(life.until_ready().0, Came::Ready, "{}", life.log());
    life.signal(Signal::KILL);
    drop(life);
    let script = r#"
        for name in run job certs data home; do cp -a "$1/$name" "$2/"; done
        cd "$2"
        run=$3 data=$4
        mkdir -p $run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/feed \
            $run/docker/runtime-runc/moby/feed $run/docker/netns $run/docker/libnetwork \
            $run/containerd $data/containers/feed $data/image/overlay2 $data/overlay2/feed \
            $data/network/files
        echo 4194304 >$run/docker.pid
        echo 4194304 >$run/docker/containerd/containerd.pid
        echo '{}' >$run/docker/runtime-runc/moby/feed/state.json
        touch $run/docker/netns/feed
        for at in containerd docker/containerd docker/libnetwork; do
            python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' \
                $run/$at/containerd.sock
        done
        echo '{"State":{"Running":true,"Pid":4194304},"Config":{}}' >$data/containers/feed/config.v2.json
        echo '{"Repositories":{}}' >$data/image/overlay2/repositories.json
        echo '{"AddressIPv4":"172.17.0.1/16","DefaultBridge":true}' >$data/network/files/local-kv.db
        chown -R $5:$5 $run $data"#;
    let places = match who {
        Who::Root => ["run", "data", "0"],
        Who::Rootless => ["run/user/1000", "home", "1000"],
    };
    let status = std::process::Command::new("sh")
        .args(["-ec", script, "sh"])
        .args([&world.root, &old])
        .args(places)
        .status();
    assert!(status.is_ok_and(|status| status.success()), "left-overs");
    old
}

/// Every case of some paths.
fn all_of(who: Who, paths: &BTreeSet<PathBuf>) -> Vec<Case> {
    let mut cases = Vec::new();
    for path in paths {
        for kind in Kind::ALL {
            for late in [false, true] {
                let path = path.clone();
                cases.push(Case {
                    who,
                    path,
                    kind,
                    late,
                });
            }
        }
    }
    cases
}

/// Puts them in the order of the seed.
fn in_order(cases: &mut [Case], seed: &str) {
    cases.sort_by_cached_key(|case| {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        (seed, format!("{case:?}")).hash(&mut hasher);
        hasher.finish()
    });
}

/// Runs a case, on what a killed daemon left, or else on nothing, where the neighbour was first;
/// what was wrong.
fn run(name: &str, case: &Case, usual: Usual, terminal: &Terminal) -> Vec<String> {
    let old = case.who.left_over();
    let mut likes = [Some(old.as_path()), None].into_iter();
    likes
        .find_map(|like| run_on(name, case, like, usual, terminal))
        .unwrap_or_default()
}

/// Nothing when the neighbour may not do that.
fn run_on(
    name: &str,
    case: &Case,
    like: Option<&Path>,
    usual: Usual,
    terminal: &Terminal,
) -> Option<Vec<String>> {
    let world = World::new(name, case.who, like);
    let shared = SHARED
        .iter()
        .find(|(at, _)| case.path.starts_with(at))
        .map(|(_, name)| world.root.join(name))?;
    let at = Where {
        shared: &shared,
        path: world.place(&case.path),
        outside: world.root.join("outside"),
        terminal: &terminal.path,
    };
    let mut judge = Judge {
        world: &world,
        usual,
        path: &case.path,
        kind: case.kind,
        outside: world.outside(),
        wrong: Vec::new(),
    };
    let mut planted = None;
    if !case.late {
        planted = Some(plant(case.kind, &at).ok()?);
    }
    let mut life = Life::start(&world, &[]);
    let mut came = life.until_ready();
    judge.came("start", came, &life);
    if case.late && came.0 == Came::Ready {
        planted = plant(case.kind, &at).ok();
        life.kill_dockerd();
        came = life.until_ready();
        judge.came("second dockerd", came, &life);
    }
    if came.0 == Came::Ready {
        judge.serves(&life);
    }
    if !matches!(came.0, Came::Ended(_)) {
        let stop = life.stop();
        judge.stopped(stop);
    }
    drop(planted);
    judge.is_small(&life);
    judge.outside_is_untouched(&life, &terminal.take());
    if !judge.wrong.is_empty() && std::env::var_os("HOSTILE_ONLY").is_some_and(|v| !v.is_empty()) {
        judge.wrong.push(life.log());
    }
    Some(std::mem::take(&mut judge.wrong))
}

/// A terminal that shows what is written to it.
struct Terminal {
    path: PathBuf,
    held: std::os::fd::OwnedFd,
    _open: fs::File,
}

impl Terminal {
    fn open() -> Self {
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let held = posix_openpt(flags).expect("a terminal");
        grantpt(&held).expect("a terminal");
        unlockpt(&held).expect("a terminal");
        let path = PathBuf::from(ptsname_r(&held).expect("its name"));
        let open = fs::OpenOptions::new().read(true).write(true).open(&path);
        rustix::io::ioctl_fionbio(&held, true).expect("a flag");
        Self {
            path,
            held: held.into(),
            _open: open.expect("the terminal"),
        }
    }

    /// What was written since the last time.
    fn take(&self) -> String {
        let held = self.held.try_clone().expect("a descriptor");
        let mut file = fs::File::from(held);
        let mut bytes = Vec::new();
        let _ = file.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

//! Delegation, limits and the namespace of our own.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dind_init::apply::cgroup::{delegate, enter_namespace, hand_over, limit};
use dind_init::host::cgroup::Group;
use dind_init::host::cgroup::mount::FreshMount;
use dind_init::host::mountinfo;
use dind_init::sys::probe::{ProbeResult, Probes, UnshareFlags};

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};

use super::can_run;

/// Where this machine has its version 2 tree.
pub(crate) fn tree() -> Option<PathBuf> {
    let mounts = mountinfo::parse(&fs::read("/proc/self/mountinfo").ok()?);
    let mount = mounts
        .into_iter()
        .find(|mount| mount.fs_type == "cgroup2")?;
    Some(mount.point)
}

/// A group of the test's own, removed at the end with what is in it. The tree's root lends it its
/// controllers as long: on a hybrid tree nobody else has asked for them.
struct TestGroup {
    dir: PathBuf,
    lent: Vec<String>,
    /// One at a time, so that what is taken back is not another test's.
    _alone: MutexGuard<'static, ()>,
}

impl TestGroup {
    fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let root = tree().unwrap();
        let Group {
            controllers,
            delegated,
            ..
        } = Group::read(&root);
        let lent: Vec<String> = controllers
            .into_iter()
            .filter(|name| !delegated.contains(name))
            .filter(|name| fs::write(control(&root), format!("+{name}")).is_ok())
            .collect();
        let dir = root.join(format!("dind-init-test-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        Self {
            dir,
            lent,
            _alone: alone,
        }
    }

    fn leaf(&self) -> PathBuf {
        self.dir.join("init")
    }

    fn delegate(&self) {
        delegate(&self.dir, &self.leaf(), &Group::read(&self.dir).controllers).unwrap();
    }

    /// Takes the delegation back.
    fn undo(&self) {
        for name in Group::read(&self.dir).delegated {
            fs::write(control(&self.dir), format!("-{name}")).unwrap();
        }
        for pid in Group::read(&self.leaf()).processes {
            let _ = fs::write(self.dir.join("cgroup.procs"), pid.to_string()); // it may have ended
        }
    }
}

impl Drop for TestGroup {
    fn drop(&mut self) {
        // A group can be removed when the last of its processes is gone; rmdir(2) says when.
        let dirs = [self.leaf(), self.dir.join("docker"), self.dir.clone()];
        for dir in dirs.iter().filter(|dir| dir.exists()) {
            for pid in Group::read(dir).processes {
                let _ = Command::new("kill")
                    .args(["-KILL", &pid.to_string()])
                    .status();
            }
            while fs::remove_dir(dir).is_err_and(|e| e.raw_os_error() == Some(libc::EBUSY)) {
                std::thread::yield_now();
            }
        }
        for name in &self.lent {
            let _ = fs::write(control(&tree().unwrap()), format!("-{name}")); // others may use it now
        }
    }
}

fn control(dir: &Path) -> PathBuf {
    dir.join("cgroup.subtree_control")
}

/// A child that ends with the test.
struct Process(Child);

impl Process {
    /// One that waits, born into a group.
    fn born_in(dir: &Path) -> Self {
        let child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        fs::write(dir.join("cgroup.procs"), child.id().to_string()).unwrap();
        Self(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_process_goes_to_the_leaf_and_every_controller_is_handed_down() {
    if !can_run() {
        return;
    }
    let group = TestGroup::new();
    let sleepers = [(); 3].map(|()| Process::born_in(&group.dir));
    let pids: BTreeSet<u32> = sleepers.iter().map(|sleeper| sleeper.0.id()).collect();
    for _ in 0..2 {
        group.delegate();
        let root = Group::read(&group.dir);
        assert_eq!(root.processes, Vec::<u32>::new());
        assert_eq!(root.delegated, root.controllers);
        let leaf: BTreeSet<u32> = Group::read(&group.leaf()).processes.into_iter().collect();
        assert_eq!(leaf, pids);
    }
}

#[test]
fn processes_that_are_born_meanwhile_do_not_keep_it_from_ending() {
    if !can_run() {
        return;
    }
    let group = TestGroup::new();
    let log = tempfile::NamedTempFile::new().unwrap();
    // It says a line for each birth, so that the test knows that there were any.
    let script = r#"while :; do (echo "$BASHPID" >"$0/cgroup.procs" && echo) 2>/dev/null; done"#;
    let births = Command::new("bash")
        .args(["-c", script])
        .arg(&group.dir)
        .stdout(log.reopen().unwrap())
        .spawn()
        .unwrap();
    let _births = Process(births);
    let born = || fs::metadata(log.path()).unwrap().len();
    for _ in 0..20 {
        group.undo_after(born);
        group.delegate();
        let root = Group::read(&group.dir);
        assert_eq!(root.delegated, root.controllers);
        assert_eq!(root.processes, Vec::<u32>::new());
    }
}

impl TestGroup {
    /// Takes the delegation back and waits until something was born again.
    fn undo_after(&self, born: impl Fn() -> u64) {
        fs::create_dir_all(self.leaf()).unwrap();
        self.undo();
        let before = born();
        while born() == before {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_threaded_group_is_refused_by_name() {
    if !can_run() {
        return;
    }
    let group = TestGroup::new();
    let kind = group.dir.join("cgroup.type");
    if fs::write(&kind, "threaded").is_err() {
        // Its parent hands domain controllers down, so that a child cannot be threaded.
        assert_eq!(fs::read_to_string(&kind).unwrap().trim(), "domain");
        return;
    }
    let sleeper = Process::born_in(&group.dir);
    let error = delegate(&group.dir, &group.leaf(), &[]).unwrap_err();
    drop(sleeper);
    let text = dind_init::base::explain::one_line(&error);
    assert!(text.contains("domain"), "{text}");
}

#[test]
fn a_group_is_made_and_limited_and_twice_is_no_error() {
    if !can_run() {
        return;
    }
    let group = TestGroup::new();
    let nested = group.dir.join("docker");
    for _ in 0..2 {
        // A limit that every group has, whatever its controllers.
        limit(&nested, "cgroup.max.descendants", 7).unwrap();
        let text = fs::read_to_string(nested.join("cgroup.max.descendants")).unwrap();
        assert_eq!(text.trim(), "7");
    }
    let error = limit(&nested, "no.such.controller", 7).unwrap_err();
    assert!(error.to_string().contains("no.such.controller"));
}

#[test]
fn a_part_that_is_handed_over_may_be_divided_and_entered_again_but_not_loosened() {
    if !can_run() {
        return;
    }
    let group = TestGroup::new();
    group.delegate();
    let part = group.dir.join("docker");
    let owner = |name: &str| {
        let found = fs::metadata(part.join(name)).unwrap();
        (found.uid(), found.gid())
    };
    let given = ["cgroup.procs", "cgroup.subtree_control"];
    let mut files = given.map(str::to_owned).to_vec();
    files.push("file.of.no.controller".into());
    for _ in 0..2 {
        hand_over(&part, &files, 1000, 1001).unwrap();
        for name in [""].into_iter().chain(given) {
            assert_eq!(owner(name), (1000, 1001), "{name}");
        }
        for kept in ["cgroup.max.descendants", "cgroup.freeze"] {
            assert_eq!(owner(kept), (0, 0), "{kept}");
        }
        // Into a group that hands controllers down, no process may go.
        drop(Process::born_in(&part));
        for name in Group::read(&part).controllers {
            fs::write(control(&part), format!("+{name}")).unwrap();
        }
    }
}

/// What a process of the group finds in a mount namespace of its own.
fn in_group<T>(group: &TestGroup, find: impl FnOnce() -> T) -> ProbeResult<T>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let procs = group.dir.join("cgroup.procs");
    let mut probes = Probes::new();
    let deadline = Duration::from_secs(60);
    let found = probes.start("group", UnshareFlags::NEWNS, deadline, || {
        fs::write(&procs, std::process::id().to_string()).unwrap();
        find()
    });
    probes.collect().take(found)
}

#[test]
fn the_fresh_mount_shows_our_own_group_and_keeps_the_old_options() {
    if !can_run() {
        return;
    }
    let group = TestGroup::new();
    let point = tempfile::tempdir().unwrap();
    let tree = tree().unwrap();
    let found = in_group(&group, || {
        let us = std::process::id();
        // The old mount: the whole tree, as a privileged pod sees it.
        mount_bind(&tree, point.path()).unwrap();
        let flags = ["nosuid", "nodev", "noexec", "relatime"];
        let options = FreshMount {
            flags: flags.map(str::to_owned).into(),
            ..FreshMount::default()
        };
        let mut seen = Vec::new();
        for _ in 0..2 {
            enter_namespace(point.path(), &options).unwrap();
            let mounts = mountinfo::parse(&fs::read("/proc/self/mountinfo").unwrap());
            let here = mounts.iter().filter(|mount| mount.point == point.path());
            let here: Vec<_> = here
                .map(|mount| format!("{} {}", mount.root.display(), mount.options))
                .collect();
            let processes = Group::read(point.path()).processes;
            seen.push((here, processes == [us]));
        }
        seen
    });
    let expected = (vec!["/ rw,nosuid,nodev,noexec,relatime".to_owned()], true);
    assert_eq!(found, ProbeResult::Known(vec![expected.clone(), expected]));
}

#[test]
fn an_old_mount_that_is_in_use_is_covered() {
    if !can_run() {
        return;
    }
    let group = TestGroup::new();
    let point = tempfile::tempdir().unwrap();
    let tree = tree().unwrap();
    let found = in_group(&group, || {
        let us = std::process::id();
        mount_bind(&tree, point.path()).unwrap();
        let _in_use = fs::File::open(point.path()).unwrap();
        enter_namespace(point.path(), &FreshMount::default()).unwrap();
        Group::read(point.path()).processes == [us]
    });
    assert_eq!(found, ProbeResult::Known(true));
}

#[test]
fn the_fresh_mount_does_not_show_where_the_old_one_came_from() {
    if !can_run() {
        return;
    }
    let group = TestGroup::new();
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tree = tree().unwrap();
    let found = in_group(&group, || {
        // As with a volume of /sys that is mounted rshared: both are one peer group.
        let none = MountFlags::empty();
        mount("tmpfs", ours.path(), "tmpfs", none, c"").unwrap();
        mount_change(ours.path(), MountPropagationFlags::SHARED).unwrap();
        mount_bind(ours.path(), theirs.path()).unwrap();
        fs::create_dir(ours.path().join("cgroup")).unwrap();
        mount_bind(&tree, ours.path().join("cgroup")).unwrap();
        // The whole tree has our group in it; seen from our group it has not.
        let seen = theirs
            .path()
            .join("cgroup")
            .join(group.dir.file_name().unwrap());
        let before = seen.exists();
        let options = FreshMount {
            below: Some(ours.path().to_owned()),
            ..FreshMount::default()
        };
        enter_namespace(&ours.path().join("cgroup"), &options).unwrap();
        (before, seen.exists())
    });
    assert_eq!(found, ProbeResult::Known((true, true)));
}

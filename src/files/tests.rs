//! What others may have put where this program reads, writes and removes.
#![expect(clippy::disallowed_methods, reason = "a test plants what others would")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;

use rustix::fs::CWD;
use rustix::net::SocketType;

use super::socket::{Served, bind, served};
use super::*;

/// A directory with a secret, and one beside it that everybody can write.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        fs::create_dir(dir.path().join("open")).unwrap();
        mode(&dir.path().join("open"), 0o777);
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A link in the open directory that leads to the secret.
    fn link(&self, name: &str) -> PathBuf {
        symlink(self.path("secret"), self.path("open").join(name)).unwrap();
        self.path("open").join(name)
    }

    fn secret_is_untouched(&self) {
        assert_eq!(fs::read(self.path("secret")).unwrap(), b"secret");
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn pipe(path: &Path) {
    rustix::fs::mkfifoat(CWD, path, 0o666.into()).unwrap();
}

fn foreign<T: std::fmt::Debug>(result: io::Result<T>) -> Foreign {
    let error = result.unwrap_err();
    Foreign::in_error(&error)
        .unwrap_or_else(|| panic!("{error:?}"))
        .clone()
}

#[test]
fn a_link_is_followed_only_where_nobody_else_can_make_one() {
    let place = Place::new();
    symlink("secret", place.path("ours")).unwrap();
    assert_eq!(text(&place.path("ours")).unwrap(), "secret");
    assert_eq!(real(&place.path("ours")).unwrap(), place.path("secret"));
    let planted = place.link("planted");
    assert!(matches!(
        foreign(read(&planted, MOST)),
        Foreign::Link { .. }
    ));
    assert!(!exists(&planted) && stat(&planted).unwrap() == Kind::Link);
    // A directory of ours behind the open one may be another one tomorrow.
    symlink(place.dir.path(), place.path("open/way")).unwrap();
    assert!(matches!(
        foreign(open(&place.path("open/way/secret"))),
        Foreign::Link { .. }
    ));
    fs::create_dir(place.path("open/inner")).unwrap();
    symlink(place.path("secret"), place.path("open/inner/link")).unwrap();
    assert!(matches!(
        foreign(open(&place.path("open/inner/link"))),
        Foreign::Link { .. }
    ));
}

#[test]
fn relative_and_absolute_links_and_dots_lead_where_the_kernel_goes() {
    let place = Place::new();
    fs::create_dir_all(place.path("a/b")).unwrap();
    symlink("../../secret", place.path("a/b/up")).unwrap();
    symlink(place.path("a/b"), place.path("way")).unwrap();
    assert_eq!(text(&place.path("way/up")).unwrap(), "secret");
    assert_eq!(text(&place.path("way/../b/./up")).unwrap(), "secret");
    symlink("loop", place.path("loop")).unwrap();
    let error = read(&place.path("loop"), MOST).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    assert!(is_directory(Path::new("/")) && is_directory(Path::new(".")));
    let missing = read(&place.path("a/none"), MOST).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
}

#[test]
fn only_regular_files_of_a_known_size_are_read_and_nothing_is_waited_for() {
    let place = Place::new();
    pipe(&place.path("pipe"));
    let _listener = UnixListener::bind(place.path("socket")).unwrap();
    fs::create_dir(place.path("dir")).unwrap();
    for (name, kind) in [
        ("pipe", Kind::Pipe),
        ("socket", Kind::Socket),
        ("dir", Kind::Directory),
    ] {
        let Foreign::Kind { found, .. } = foreign(read(&place.path(name), MOST)) else {
            panic!("{name}")
        };
        assert_eq!(found, kind);
    }
    assert!(matches!(
        foreign(read(Path::new("/dev/zero"), MOST)),
        Foreign::Kind {
            found: Kind::Device,
            ..
        }
    ));
    fs::File::create(place.path("sparse"))
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    assert!(matches!(
        foreign(read(&place.path("sparse"), MOST)),
        Foreign::TooLarge { .. }
    ));
    assert_eq!(read(&place.path("secret"), 6).unwrap(), b"secret");
    assert!(read(&place.path("secret"), 5).is_err());
}

#[test]
fn what_is_replaced_is_neither_followed_nor_opened() {
    let place = Place::new();
    let (planted, waiting) = (place.link("ready"), place.path("open/pipe"));
    pipe(&waiting);
    fs::hard_link(place.path("secret"), place.path("open/hard")).unwrap();
    for path in [
        &planted,
        &waiting,
        &place.path("open/hard"),
        &place.path("open/new"),
    ] {
        replace(path, b"ready\n", 0o644).unwrap();
        assert_eq!(fs::read(path).unwrap(), b"ready\n");
        assert_eq!(fs::symlink_metadata(path).unwrap().mode() & 0o7777, 0o644);
    }
    place.secret_is_untouched();
    fs::create_dir(place.path("open/dir")).unwrap();
    assert!(replace(&place.path("open/dir"), b"x", 0o644).is_err());
    // Nothing is left beside them.
    assert_eq!(fs::read_dir(place.path("open")).unwrap().count(), 5);
}

#[test]
fn a_file_of_our_own_has_one_name_and_one_owner() {
    let place = Place::new();
    let dir = Dir::open(&place.path("open")).unwrap();
    dir.open_own("lock", 0o600).unwrap();
    dir.open_own("lock", 0o600).unwrap();
    fs::hard_link(place.path("secret"), place.path("open/hard")).unwrap();
    assert!(matches!(
        foreign(dir.open_own("hard", 0o600)),
        Foreign::Names { links: 2, .. }
    ));
    place.link("link");
    assert!(matches!(
        foreign(dir.open_own("link", 0o600)),
        Foreign::Kind { .. }
    ));
    pipe(&place.path("open/pipe"));
    assert!(matches!(
        foreign(dir.open_own("pipe", 0o600)),
        Foreign::Kind { .. }
    ));
    if rustix::process::geteuid().is_root() {
        chown(place.path("open/lock"), Some(1000), None).unwrap();
        assert!(matches!(
            foreign(dir.open_own("lock", 0o600)),
            Foreign::Owner { uid: 1000, .. }
        ));
    }
}

/// A file that is mounted by itself cannot be replaced.
#[test]
fn what_is_written_in_place_is_emptied_only_when_it_is_one_regular_file() {
    let place = Place::new();
    assert!(
        overwrite(&place.path("none"), b"x").is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
    );
    let file = place.path("open/file");
    fs::write(&file, "older and longer").unwrap();
    let inode = fs::metadata(&file).unwrap().ino();
    overwrite(&file, b"new").unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"new");
    assert_eq!(fs::metadata(&file).unwrap().ino(), inode);

    let link = place.link("link");
    assert!(matches!(
        foreign(overwrite(&link, b"x")),
        Foreign::Kind { .. }
    ));
    assert_eq!(link_target(&link).unwrap(), place.path("secret"));
    assert!(link_target(&file).is_err());
    fs::hard_link(place.path("secret"), place.path("open/second")).unwrap();
    let second = overwrite(&place.path("open/second"), b"x");
    assert!(matches!(foreign(second), Foreign::Names { links: 2, .. }));
    pipe(&place.path("open/pipe"));
    let into_pipe = overwrite(&place.path("open/pipe"), b"x");
    assert!(matches!(foreign(into_pipe), Foreign::Kind { .. }));
    place.secret_is_untouched();
}

#[test]
fn a_tree_is_removed_without_what_its_links_lead_to() {
    let place = Place::new();
    fs::create_dir_all(place.path("tree/a/b")).unwrap();
    symlink(place.dir.path(), place.path("tree/a/out")).unwrap();
    pipe(&place.path("tree/pipe"));
    remove_tree(&place.path("tree")).unwrap();
    remove_tree(&place.path("tree")).unwrap();
    remove(&place.path("tree")).unwrap();
    remove(&place.path("none/below")).unwrap();
    place.secret_is_untouched();
    // The directory itself a link: the link goes, and nothing else.
    symlink(place.path("open"), place.path("link")).unwrap();
    fs::write(place.path("open/kept"), "").unwrap();
    remove_tree(&place.path("link")).unwrap();
    assert!(place.path("open/kept").exists() && !place.path("link").is_symlink());
    // A planted link on the way is not followed.
    symlink(place.dir.path(), place.path("open/way")).unwrap();
    assert!(matches!(
        foreign(remove(&place.path("open/way/secret"))),
        Foreign::Link { .. }
    ));
    assert!(matches!(
        foreign(remove_tree(&place.path("open/way/open"))),
        Foreign::Link { .. }
    ));
    place.secret_is_untouched();
}

#[test]
fn what_somebody_else_put_into_an_open_directory_is_left_to_him() {
    if !rustix::process::geteuid().is_root() {
        return; // nobody else can give a file away, so that nothing is to be kept
    }
    let place = Place::new();
    fs::create_dir_all(place.path("open/tree/sub")).unwrap();
    fs::write(place.path("open/tree/sub/file"), "").unwrap();
    chown(place.path("open/tree"), Some(1000), None).unwrap();
    assert!(matches!(
        foreign(remove_tree(&place.path("open/tree"))),
        Foreign::Owner { uid: 1000, .. }
    ));
    assert!(place.path("open/tree/sub/file").exists());
    // In a directory that only root can write, root must have put it there.
    fs::create_dir(place.path("closed")).unwrap();
    fs::rename(place.path("open/tree"), place.path("closed/tree")).unwrap();
    remove_tree(&place.path("closed/tree")).unwrap();
}

#[test]
fn a_tree_that_is_too_deep_stays_and_costs_nothing() {
    let place = Place::new();
    let mut deep = place.path("deep");
    for _ in 0..70 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    assert!(matches!(
        foreign(remove_tree(&place.path("deep"))),
        Foreign::Depth { .. }
    ));
    assert!(deep.exists());
}

#[test]
fn a_private_directory_is_closed_and_so_is_the_way_to_it() {
    let place = Place::new();
    let own = place.path("run/own");
    assert!(can_be_private(&own));
    create_private(&own, 0o711).unwrap();
    create_private(&own, 0o711).unwrap();
    assert_eq!(fs::metadata(&own).unwrap().mode() & 0o7777, 0o711);
    assert!(can_be_private(&own));
    mode(&place.path("open"), 0o1777);
    assert!(can_be_private(&place.path("open/sticky")));
    create_private(&place.path("open/sticky"), 0o700).unwrap();
    mode(&place.path("open"), 0o777);
    assert!(!can_be_private(&place.path("open/sticky")));
    let shared = place.path("open/own");
    assert!(!can_be_private(&shared));
    assert!(matches!(
        foreign(create_private(&shared, 0o700)),
        Foreign::Open { .. }
    ));
    mode(&own, 0o770);
    assert!(!can_be_private(&own));
    assert!(matches!(
        foreign(create_private(&own, 0o700)),
        Foreign::Open { .. }
    ));
    let link = place.link("private");
    assert!(!can_be_private(&link) && create_private(&link, 0o700).is_err());
}

#[test]
fn a_socket_is_born_with_its_mode_and_leaves_what_took_its_place() {
    let place = Place::new();
    for dir in ["open", "."] {
        let path = place.path(dir).join("sock");
        let (socket, own) = bind(&path, SocketType::STREAM, 0o660, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o660);
        assert_eq!(served(&path), Served::Yes, "it lives, and will listen");
        crate::sys::net::listen(&socket).unwrap();
        assert_eq!(served(&path), Served::Yes);
        let nobody = rustix::event::poll(
            &mut [rustix::event::PollFd::new(
                &socket,
                rustix::event::PollFlags::IN,
            )],
            Some(&rustix::event::Timespec::default()),
        );
        assert_eq!(nobody, Ok(0), "it saw no connection");
        // Never over something that is there, a planted link above all.
        assert!(bind(&path, SocketType::STREAM, 0o660, None).is_err());
        fs::rename(&path, path.with_file_name("moved")).unwrap();
        drop(socket);
        assert_eq!(served(&path.with_file_name("moved")), Served::No);
        fs::write(&path, "somebody else's").unwrap();
        own.remove().unwrap();
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
        symlink(place.path("secret"), &path).unwrap();
        assert!(bind(&path, SocketType::STREAM, 0o666, None).is_err());
        own.remove().unwrap();
        assert!(path.is_symlink());
        fs::remove_file(&path).unwrap();
        fs::remove_file(path.with_file_name("moved")).unwrap();
    }
    place.secret_is_untouched();
}

#[test]
fn a_full_queue_is_not_waited_for() {
    let place = Place::new();
    let (socket, _own) = bind(&place.path("s"), SocketType::STREAM, 0o600, None).unwrap();
    rustix::net::listen(&socket, 0).unwrap();
    let clients: Vec<_> = (0..4)
        .map(|_| crate::sys::net::connect_unix(&place.path("s")))
        .collect();
    assert!(clients.iter().any(Result::is_err));
    assert_eq!(served(&place.path("s")), Served::Yes);
}

#[test]
fn every_refusal_says_why_and_what_to_do() {
    let path = PathBuf::from("/shared/x");
    for foreign in [
        Foreign::Link {
            path: path.clone(),
            uid: 1000,
        },
        Foreign::Kind {
            path: path.clone(),
            found: Kind::Pipe,
            wanted: Kind::File,
        },
        Foreign::TooLarge {
            path: path.clone(),
            most: MOST,
        },
        Foreign::Owner {
            path: path.clone(),
            uid: 1000,
        },
        Foreign::Names {
            path: path.clone(),
            links: 2,
        },
        Foreign::Open { path: path.clone() },
        Foreign::Moved { path: path.clone() },
        Foreign::Depth { path },
    ] {
        assert!(foreign.to_string().starts_with("/shared/x "), "{foreign}");
        assert!(!foreign.why().is_empty() && foreign.fix().len() > 20);
    }
}

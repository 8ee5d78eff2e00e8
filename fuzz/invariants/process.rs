//! A /proc/PID/stat: the name in it is the process's own choice.

use dind_init::process::Process;

use super::shape;

/// The bytes of a stat file.
pub fn check(bytes: &[u8]) {
    let Some(process) = Process::parse(bytes) else {
        return;
    };
    shape::said(&process.to_string(), 12 * bytes.len() + 40);
    assert!(process.is(&process));
    // Whatever the name is, it is the same process with the same parent.
    for name in [&b"sh"[..], b") S 1 (", b"a b\n) Z 7 7", b"\xff\xfe(\x1b[2J"] {
        let pid = process.pid.as_raw_nonzero();
        let parent = process.parent.map_or(0, |pid| pid.as_raw_nonzero().get());
        let state = process.state;
        let start = process.start;
        let fields = "0 ".repeat(15);
        let threads = u8::from(process.alive) + 1;
        let rest = format!(") {state} {parent} {fields}{threads} 0 {start} 0 0\n");
        let stat = [format!("{pid} (").as_bytes(), name, rest.as_bytes()].concat();
        let again = Process::parse(&stat).expect("a line of the same form");
        assert_eq!((again.pid, again.parent), (process.pid, process.parent));
        assert_eq!((again.start, again.state), (process.start, process.state));
    }
}

//! dockerd's configuration file.

use dind_init::host::daemon_json::{Content, DaemonFile};

use super::shape;

/// The bytes of a daemon.json.
pub fn check(bytes: &[u8]) {
    let content = Content::parse(bytes);
    match &content {
        Content::Absent => panic!("there is a file"),
        Content::Invalid(why) => shape::said(why, 200),
        Content::Keys(keys) => {
            let text = serde_json::to_string(keys).expect("JSON");
            let marked = [b"\xef\xbb\xbf", text.as_bytes()].concat();
            let Content::Keys(again) = Content::parse(&marked) else {
                panic!("{text}")
            };
            assert!(shape::same(&again.into(), &keys.clone().into()), "{text}");
        }
    }
    let file = DaemonFile {
        path: "daemon.json".into(),
        content,
    };
    for key in file.keys() {
        let text = file.get(key).expect("what is listed").as_str();
        assert_eq!(text, file.text(key));
    }
    shape::again(&file);
}

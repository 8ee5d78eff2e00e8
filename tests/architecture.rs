//! ARCHITECTURE.md is true: the order of the rooms holds, and what it points to is there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test of the sources: whatever is not as expected ends it"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document() -> String {
    fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

/// The cells of the table below a heading, without its two head lines.
fn table(heading: &str) -> Vec<Vec<String>> {
    let document = document();
    let (_, rest) = document.split_once(heading).expect(heading);
    let rows = rest.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| row.split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.map(cells).collect()
}

/// The rooms, each with the number of its row.
fn rooms() -> BTreeMap<String, usize> {
    let rows = table("## Where things are\n");
    let name = |row: &Vec<String>| row[1].trim_matches(['`', '/']).to_owned();
    rows.iter().map(name).zip(0..).collect()
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The rooms that a source names, without comments and unit tests: tests may look anywhere.
fn imports(source: &str, rooms: &BTreeMap<String, usize>) -> Vec<String> {
    let code: String = source
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default()
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .flat_map(|line| [line, " "])
        .collect();
    let mut found = Vec::new();
    for (place, word) in code.match_indices("crate::") {
        let rest = code
            .get(place + word.len()..)
            .unwrap_or_default()
            .trim_start();
        let first = |text: &str| -> String {
            let name = text.trim_start().chars();
            name.take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect()
        };
        match rest.strip_prefix('{') {
            // `use crate::{one, two::Three};`
            Some(group) => {
                let group = group.split(';').next().unwrap_or_default();
                found.extend(group.split([',', '{']).map(first));
            }
            None => found.push(first(rest)),
        }
    }
    found.retain(|name| rooms.contains_key(name));
    found
}

#[test]
fn every_room_is_in_the_table_and_every_row_is_a_room() {
    let mut there: Vec<_> = fs::read_dir(root().join("src"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    there.sort_unstable();
    let listed: Vec<_> = rooms().into_keys().collect();
    assert_eq!(listed, there);
}

#[test]
fn no_room_imports_from_one_that_builds_on_it() {
    let rooms = rooms();
    let mut wrong = Vec::new();
    for (room, level) in &rooms {
        let mut files = Vec::new();
        sources(&root().join("src").join(room), &mut files);
        for file in files {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            if name.ends_with("tests.rs") || name == "fixtures.rs" || name == "said.rs" {
                continue;
            }
            let source = fs::read_to_string(&file).unwrap();
            for import in imports(&source, &rooms) {
                if rooms.get(&import).is_some_and(|other| other > level) {
                    wrong.push(format!("{} imports from {import}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_are_found_in_every_form() {
    let rooms = ["a", "b", "c"]
        .map(String::from)
        .into_iter()
        .zip(0..)
        .collect();
    let source = "use crate::{a, b::{self, X}};\n// crate::c\nfn f() { crate::c::g() }\n";
    assert_eq!(imports(source, &rooms), ["a", "b", "c"]);
    let tests = "x\n#[cfg(test)]\nmod tests {\n    use crate::c;\n}\n";
    assert!(imports(tests, &rooms).is_empty());
}

#[test]
fn ten_questions_have_a_file_each() {
    let rows = table("## Ten questions\n");
    assert_eq!(rows.len(), 10);
    for row in rows {
        let path = row[2].trim_matches('`');
        assert!(root().join(path).is_file(), "{}: {path}", row[1]);
    }
}

//! `man/` and `completions/` are what this program would write.
//!
//! Invariant: they are compared byte for byte, and a file too many is found too.

use std::collections::BTreeMap;
use std::path::Path;

/// Every file in the two folders, by its path in `root`.
fn generated_in(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for folder in ["man", "completions"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the built program is what is tested")]
fn man_pages_and_completions_are_fresh() {
    let fresh = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_git-agent");
    let status = std::process::Command::new(program)
        .arg("generate")
        .arg(fresh.path())
        .env_clear()
        .status()
        .unwrap();
    assert!(status.success());
    let fresh = generated_in(fresh.path());
    let committed = generated_in(Path::new(env!("CARGO_MANIFEST_DIR")));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    let mend = "mend it with: cargo run -- generate";
    assert_eq!(names(&committed), names(&fresh), "{mend}");
    for (name, bytes) in &fresh {
        assert!(committed[name] == *bytes, "{name} is stale; {mend}");
    }
}

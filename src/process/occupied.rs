//! Who is in a folder: the processes that would lose the ground under their feet.
//!
//! Invariant: a process that cannot be looked at is nobody of ours, and stops nothing.

use std::path::Path;

/// A process that stands in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupant {
    /// Its process id.
    pub pid: u32,
    /// What it is called.
    pub name: String,
}

impl std::fmt::Display for Occupant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.pid)
    }
}

/// The processes whose current folder is `folder` or below it. Where the system does not tell
/// without privileges, as on macOS, there are none.
#[cfg(target_os = "linux")]
pub fn occupants(folder: &Path) -> Vec<Occupant> {
    use fs_err as fs;

    let Ok(folder) = fs::canonicalize(folder) else { return Vec::new() };
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let numbered = processes.flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse::<u32>().ok()?;
        Some((pid, entry.path()))
    });
    let mut found: Vec<_> = numbered
        // Denied for the processes of others, gone for those that have ended.
        .filter(|(_, process)| {
            fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(&folder))
        })
        .map(|(pid, process)| {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            Occupant { pid, name: name.trim().to_owned() }
        })
        .collect();
    found.sort_by_key(|occupant| occupant.pid);
    found
}

/// The processes whose current folder is `folder` or below it. Where the system does not tell
/// without privileges, as on macOS, there are none.
#[cfg(not(target_os = "linux"))]
pub fn occupants(_folder: &Path) -> Vec<Occupant> {
    Vec::new()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::process::Cmd;

    #[test]
    fn r02_a_process_below_the_folder_is_found_also_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, link) = (folder.path().join("wt/sub"), folder.path().join("link"));
        fs_err::create_dir_all(&inside).unwrap();
        fs_err::create_dir(folder.path().join("wt-sibling")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("wt"), &link).unwrap();
        assert_eq!(occupants(&link), []);
        let log = tempfile::tempfile().unwrap();
        let sleep = Cmd::new("sleep").arg("30").dir(&inside).spawn_detached(log).unwrap();
        assert_eq!(occupants(&link), [Occupant { pid: sleep, name: "sleep".to_owned() }]);
        assert_eq!(occupants(&folder.path().join("wt-sibling")), []);
        Cmd::new("sh").args(["-c", &format!("kill {sleep}")]).run().unwrap();
    }
}

//! A login manager that ends whatever its user has left running at logout.
//!
//! Invariant: read from its settings alone; where there is no such manager nothing is said.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::Problem;

/// Where settings lie, later ones before earlier ones: logind.conf(5).
const FOLDERS: [&str; 4] =
    ["usr/lib/systemd", "usr/local/lib/systemd", "run/systemd", "etc/systemd"];

pub(super) fn find<'a>(system: &Path) -> Option<Problem<'a>> {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    let file = killer(system)?;
    if !user.is_empty() && system.join("var/lib/systemd/linger").join(&user).exists() {
        return None;
    }
    let what = format!("sessions end when you log out: KillUserProcesses in {}", file.display());
    Some(Problem::new("login", what).hint("loginctl enable-linger"))
}

/// The file that has the last word, if that is yes.
fn killer(system: &Path) -> Option<PathBuf> {
    let mut files: Vec<_> =
        FOLDERS.iter().map(|folder| system.join(folder).join("logind.conf")).collect();
    let mut parts: Vec<_> = FOLDERS
        .iter()
        .filter_map(|folder| fs::read_dir(system.join(folder).join("logind.conf.d")).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .collect();
    parts.sort_by(|one, other| one.file_name().cmp(&other.file_name()));
    files.append(&mut parts);
    let mut said = files.into_iter().filter_map(|file| {
        let text = fs::read_to_string(&file).ok()?;
        let value = text.lines().rev().find_map(|line| {
            line.trim().strip_prefix("KillUserProcesses")?.trim_start().strip_prefix('=')
        })?;
        Some((file.clone(), matches!(value.trim(), "yes" | "true" | "on" | "1")))
    });
    said.next_back().filter(|(_, kills)| *kills).map(|(file, _)| file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p04_a_login_manager_that_kills_is_found() {
        let system = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = system.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        assert_eq!(killer(system.path()), None);
        write("etc/systemd/logind.conf", "[Login]\n#KillUserProcesses=yes\n");
        assert_eq!(killer(system.path()), None);
        let file = write("etc/systemd/logind.conf", "[Login]\nKillUserProcesses = yes\n");
        assert_eq!(killer(system.path()), Some(file));
        let part = write("usr/lib/systemd/logind.conf.d/10-us.conf", "KillUserProcesses=yes\n");
        assert_eq!(killer(system.path()), Some(part));
        assert_eq!(find(system.path()).unwrap().hint.unwrap(), "loginctl enable-linger");
        write("etc/systemd/logind.conf.d/20-mine.conf", "KillUserProcesses=no\n");
        assert_eq!(killer(system.path()), None);
    }
}

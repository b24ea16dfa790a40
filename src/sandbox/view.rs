//! What a tool sees of the file system, as a list of mounts.
//!
//! Invariant: what is not listed is not there; a mount point is never made in a folder of the
//! machine, so nothing is left behind in a worktree or a home.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where the system and its programs are. What is private below is masked.
const SYSTEM: [&str; 16] = [
    "/bin",
    "/etc",
    "/gnu",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix",
    "/opt",
    "/run/current-system",
    "/sbin",
    "/snap",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/usr",
    "/var/lib/dpkg",
];

/// Keys, passwords and what admits to other machines.
const PRIVATE: [&str; 17] = [
    "/etc/NetworkManager",
    "/etc/docker",
    "/etc/git-agent",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/ipsec.secrets",
    "/etc/krb5.keytab",
    "/etc/kubernetes",
    "/etc/openvpn",
    "/etc/rancher",
    "/etc/security/opasswd",
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/ssh",
    "/etc/ssl/private",
    "/etc/sudoers",
    "/etc/wireguard",
];

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mount {
    /// A folder or file of the machine.
    Bind { from: PathBuf, writable: bool },
    /// A folder of the machine with what was changed of it kept elsewhere.
    Overlay { lower: PathBuf, upper: PathBuf, work: PathBuf },
    /// An empty folder, which lasts as long as the sandbox.
    Empty,
    /// The devices that every program may use, without any of the machine's.
    Devices,
    /// Nothing, in place of what is there.
    Masked,
    /// A symbolic link.
    Link { target: PathBuf },
}

/// The mounts, by where they are: a folder comes before what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct View {
    pub(super) mounts: BTreeMap<PathBuf, Mount>,
}

impl View {
    /// The system, with a home and a temporary folder that are empty.
    pub(super) fn of_system(home: Option<&Path>, tmp: &Path) -> Self {
        let mut view = Self::default();
        for path in SYSTEM {
            view.read(Path::new(path));
        }
        for path in PRIVATE {
            view.mask(Path::new(path));
        }
        // What the owner alone may read keeps nothing from the superuser's commands.
        if rustix::process::geteuid().is_root() {
            view.mask_private(Path::new("/etc"));
        }
        view.mounts.insert("/dev".into(), Mount::Devices);
        let from = tmp.to_owned();
        view.mounts.insert("/tmp".into(), Mount::Bind { from, writable: true });
        view.mounts.insert("/var/tmp".into(), Mount::Link { target: "/tmp".into() });
        if let Some(home) = home.filter(|home| is_apart(home)) {
            let home = view.by_links(home);
            view.mounts.insert(home, Mount::Empty);
        }
        view
    }

    /// Shows a path as it is.
    pub(super) fn read(&mut self, path: &Path) {
        self.bind(path, false);
    }

    /// Shows a path, to be changed.
    pub(super) fn write(&mut self, path: &Path) {
        self.bind(path, true);
    }

    /// Hides what is at a path, if anything is.
    pub(super) fn mask(&mut self, path: &Path) {
        if path.symlink_metadata().is_ok_and(|found| !found.is_symlink()) {
            self.mounts.insert(path.to_owned(), Mount::Masked);
        }
    }

    /// Shows one file or folder of the machine in another's place.
    pub(super) fn put(&mut self, from: &Path, to: &Path, writable: bool) {
        self.mounts.insert(to.to_owned(), Mount::Bind { from: from.to_owned(), writable });
    }

    /// Shows a folder whose changes are kept in another, so that it stays as it is: by this name,
    /// where [`View::keep_in`] says.
    pub(super) fn overlay(&mut self, lower: &Path, name: &str) {
        let to = self.by_links(lower);
        let (upper, work) = (Path::new(name).join("upper"), Path::new(name).join("work"));
        self.mounts.insert(to.clone(), Mount::Overlay { lower: to, upper, work });
    }

    /// Keeps what is changed in such folders in this one; where it cannot be, or there is none,
    /// they are only read.
    pub(super) fn keep_in(&mut self, kept: Option<&Path>) {
        for mount in self.mounts.values_mut() {
            let Mount::Overlay { lower, upper, work } = mount else { continue };
            let place = |folder: &Path| -> Option<PathBuf> {
                let folder = kept?.join(folder);
                fs_err::create_dir_all(&folder).ok()?;
                Some(folder)
            };
            let lower = lower.clone();
            *mount = match (place(upper), place(work)) {
                (Some(upper), Some(work)) => Mount::Overlay { lower, upper, work },
                _ => Mount::Bind { from: lower, writable: false },
            };
        }
    }

    /// Where something may be changed.
    pub(super) fn writable(&self) -> Vec<PathBuf> {
        let writable = self.mounts.iter().filter(|(_, mount)| match mount {
            Mount::Bind { writable, .. } => *writable,
            Mount::Overlay { .. } | Mount::Empty | Mount::Devices => true,
            Mount::Masked | Mount::Link { .. } => false,
        });
        writable.map(|(to, _)| to.clone()).collect()
    }

    /// What is hidden.
    #[cfg(test)]
    pub(super) fn masked(&self) -> Vec<PathBuf> {
        let is_masked = |(_, mount): &(&PathBuf, &Mount)| **mount == Mount::Masked;
        self.mounts.iter().filter(is_masked).map(|(to, _)| to.clone()).collect()
    }

    /// What of the machine can be changed.
    pub(super) fn changed(&self) -> Vec<PathBuf> {
        let binds = self.mounts.iter().filter_map(|(to, mount)| match mount {
            Mount::Bind { from, writable: true } if from == to => Some(to),
            _ => None,
        });
        binds.cloned().collect()
    }

    /// What can be added to, and stays as it is on the machine.
    pub(super) fn kept_apart(&self) -> Vec<PathBuf> {
        let is_one = |(_, mount): &(&PathBuf, &Mount)| matches!(mount, Mount::Overlay { .. });
        self.mounts.iter().filter(is_one).map(|(to, _)| to.clone()).collect()
    }

    /// What is the sandbox's own, and goes with it.
    pub(super) fn own(&self) -> Vec<PathBuf> {
        let own = self.mounts.iter().filter_map(|(to, mount)| match mount {
            Mount::Empty => Some(to.clone()),
            Mount::Devices => Some(to.join("shm")),
            Mount::Bind { from, writable: true } if from != to => Some(to.clone()),
            _ => None,
        });
        own.collect()
    }

    /// What of the machine can be read.
    pub(super) fn readable(&self) -> Vec<PathBuf> {
        let binds = self.mounts.iter().filter_map(|(to, mount)| match mount {
            Mount::Bind { from, writable: false } if from == to => Some(to),
            Mount::Overlay { lower, .. } => Some(lower),
            _ => None,
        });
        binds.cloned().collect()
    }

    /// Hides what is below a folder and not everybody may read.
    fn mask_private(&mut self, folder: &Path) {
        for entry in fs_err::read_dir(folder).into_iter().flatten().flatten() {
            // Certificates are hundreds of links, which the listing tells.
            if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                continue;
            }
            let Ok(found) = entry.metadata() else { continue };
            let needed = if found.is_dir() { 0o005 } else { 0o004 };
            let path = entry.path();
            if self.mounts.contains_key(&path) {
                continue;
            }
            match found.permissions().mode() & needed == needed {
                true if found.is_dir() => self.mask_private(&path),
                true => {}
                false => self.mask(&path),
            }
        }
    }

    fn bind(&mut self, path: &Path, writable: bool) {
        if !path.is_absolute() || !path.exists() {
            return;
        }
        let to = self.by_links(path);
        let is_shown = to.ancestors().any(|above| match self.mounts.get(above) {
            Some(Mount::Bind { from, writable: false }) => !writable && from == above,
            Some(Mount::Bind { writable: true, .. }) => above == to,
            _ => false,
        });
        if !is_shown {
            self.mounts.insert(to.clone(), Mount::Bind { from: to, writable });
        }
    }

    /// The path without symbolic links; each link on the way is in the view from now on, so that
    /// the path as it was given leads there too.
    fn by_links(&mut self, path: &Path) -> PathBuf {
        let Ok(whole) = fs_err::canonicalize(path) else { return path.to_owned() };
        if whole == path {
            return whole;
        }
        // A link may lead to another: each is followed by itself.
        let mut path = path.to_owned();
        for _ in 0..16 {
            let mut above: Vec<_> = path.ancestors().collect();
            above.reverse();
            let link = above.into_iter().find_map(|part| Some((part, part.read_link().ok()?)));
            let Some((at, target)) = link else { break };
            let rest = path.strip_prefix(at).unwrap_or(Path::new("")).to_owned();
            let onward = at.parent().unwrap_or(Path::new("/")).join(&target);
            self.mounts.entry(at.to_owned()).or_insert(Mount::Link { target });
            path =
                without_dots(&if rest.as_os_str().is_empty() { onward } else { onward.join(rest) });
        }
        whole
    }
}

/// Whether a folder may be hidden without hiding the system.
fn is_apart(path: &Path) -> bool {
    path.is_absolute()
        && path.parent().is_some()
        && !SYSTEM.iter().any(|system| Path::new(system).starts_with(path))
}

fn without_dots(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, part| {
        match part {
            std::path::Component::ParentDir => drop(path.pop()),
            std::path::Component::CurDir => {}
            part => path.push(part),
        }
        path
    })
}

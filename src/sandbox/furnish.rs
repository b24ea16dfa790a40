//! Makes a [`View`] the root of the namespaces that this process has entered.
//!
//! Invariant: it is done once, before anything untrusted runs in them, so nobody can exchange a
//! folder while it is mounted on.

use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive,
    mount_change, unmount,
};
use rustix::process::{chdir, pivot_root};

use super::syscall::{MountUse, restrict_mount};
use super::view::{Mount, View};

/// Where the machine is while the view is made, and the view.
const MACHINE: &str = "/machine";
const VIEW: &str = "/view";
/// What hides a file, and what hides a folder.
const NO_FILE: &str = "/no-file";
const NO_FOLDER: &str = "/no-folder";
/// The devices of the machine that every program may use.
const DEVICES: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];

/// Mounts it all and turns to the new root. Must run as the first process of a process namespace,
/// whose `/proc` is mounted too.
pub(super) fn furnish(view: &View) -> io::Result<()> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    empty(Path::new("/tmp"), "0755")?;
    fs::create_dir(format!("/tmp{MACHINE}"))?;
    chdir("/tmp")?;
    pivot_root(".", &MACHINE[1..])?;
    chdir("/")?;
    fs::create_dir(VIEW)?;
    std::fs::File::options().write(true).create_new(true).mode(0o0).open(NO_FILE)?;
    std::fs::DirBuilder::new().mode(0o0).create(NO_FOLDER)?;
    empty(Path::new(VIEW), "0755")?;
    let root = PathBuf::from(VIEW);
    fs::create_dir(root.join("proc"))?;
    mount("proc", root.join("proc"), "proc", proc_flags(), None)?;
    for (to, what) in &view.mounts {
        let at = root.join(below_root(to));
        make(view, to, &at, what).map_err(|error| named(to, &error))?;
    }
    restrict_mount(&root, MountUse { read_only: true, ..MountUse::default() })?;
    chdir(&root)?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    Ok(chdir("/")?)
}

/// How `/proc` is mounted.
pub(super) fn proc_flags() -> MountFlags {
    MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC
}

fn make(view: &View, to: &Path, at: &Path, what: &Mount) -> io::Result<()> {
    match what {
        Mount::Link { target } => {
            // Where a mount above brings it along, it is there.
            if at.symlink_metadata().is_err() && may_make(view, to) {
                folders(at)?;
                symlink(target, at)?;
            }
            Ok(())
        }
        Mount::Devices => devices(at),
        Mount::Empty => {
            point(view, to, at, true)?;
            empty(at, "0700")
        }
        Mount::Masked => {
            if at.symlink_metadata().is_err() {
                return Ok(());
            }
            mount_bind(if at.is_dir() { NO_FOLDER } else { NO_FILE }, at)?;
            restrict_mount(at, MountUse { read_only: true, ..MountUse::default() })
        }
        Mount::Bind { from, writable } => {
            let from = on_machine(from);
            if !point(view, to, at, from.is_dir())? {
                return Ok(());
            }
            mount_bind_recursive(&from, at)?;
            let how = MountUse { read_only: !writable, devices: false, recursive: true };
            restrict_mount(at, how)
        }
        Mount::Overlay { lower, upper, work } => {
            let [lower, upper, work] = [lower, upper, work].map(|path| on_machine(path));
            if !point(view, to, at, true)? {
                return Ok(());
            }
            overlay(at, &lower, &upper, &work).or_else(|_| {
                // The kernel or the file system is too old: what is there can be used all the same.
                mount_bind_recursive(&lower, at)?;
                restrict_mount(at, MountUse { read_only: true, devices: false, recursive: true })
            })
        }
    }
}

fn overlay(at: &Path, lower: &Path, upper: &Path, work: &Path) -> io::Result<()> {
    let all = [lower, upper, work].map(|path| path.to_str().unwrap_or(":"));
    // These mean something in the options.
    if all.iter().any(|path| path.contains([',', ':', '\\'])) {
        return Err(io::Error::from(io::ErrorKind::Unsupported));
    }
    let [lower, upper, work] = all;
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work},userxattr");
    let options = std::ffi::CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount("overlay", at, "overlay", flags, options.as_c_str())?)
}

/// A place to mount on; `false` where there is none, and none may be made.
fn point(view: &View, to: &Path, at: &Path, is_folder: bool) -> io::Result<bool> {
    if at.exists() {
        return Ok(true);
    }
    if !may_make(view, to) {
        return Ok(false);
    }
    folders(at)?;
    match is_folder {
        true => fs::create_dir(at)?,
        false => drop(fs::File::create_new(at)?),
    }
    Ok(true)
}

/// Whether what is made at a path is made in memory or in the temporary folder of the session.
fn may_make(view: &View, to: &Path) -> bool {
    let above = to.ancestors().skip(1).find_map(|path| Some((path, view.mounts.get(path)?)));
    match above {
        None | Some((_, Mount::Empty)) => true,
        Some((path, Mount::Bind { writable: true, .. })) => path == Path::new("/tmp"),
        Some(_) => false,
    }
}

fn folders(at: &Path) -> io::Result<()> {
    at.parent().map_or(Ok(()), fs::create_dir_all)
}

fn devices(at: &Path) -> io::Result<()> {
    fs::create_dir(at)?;
    empty(at, "0755")?;
    for name in DEVICES {
        let from = Path::new(MACHINE).join("dev").join(name);
        if !from.exists() {
            continue;
        }
        fs::File::create_new(at.join(name))?;
        mount_bind(&from, at.join(name))?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(target, at.join(name))?;
    }
    fs::create_dir(at.join("shm"))?;
    empty(&at.join("shm"), "1777")?;
    fs::create_dir(at.join("pts"))?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("devpts", at.join("pts"), "devpts", flags, c"newinstance,ptmxmode=0666,mode=620")?;
    restrict_mount(at, MountUse { read_only: true, devices: true, recursive: false })
}

fn empty(at: &Path, mode: &str) -> io::Result<()> {
    let options = std::ffi::CString::new(format!("mode={mode}"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount("tmpfs", at, "tmpfs", flags, options.as_c_str())?)
}

fn on_machine(path: &Path) -> PathBuf {
    Path::new(MACHINE).join(below_root(path))
}

fn below_root(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

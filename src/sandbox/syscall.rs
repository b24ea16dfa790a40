//! The calls to the kernel that no crate offers safely.
//!
//! Invariant: each is one call with arguments of plain values; what it needs of its caller (one
//! thread only, say) stands with it.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// How a mount may be used: `mount_setattr(2)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MountUse {
    pub(super) read_only: bool,
    pub(super) devices: bool,
    /// And all mounts below.
    pub(super) recursive: bool,
}

/// Forks this process, which must have one thread. The child's id, or `None` in the child.
#[expect(unsafe_code, reason = "fork is safe in a process of one thread, and ours has one")]
pub(super) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: takes no arguments; the process has one thread, so no lock is held by another.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        child => Ok(Pid::from_raw(child)),
    }
}

/// Ends this process without running what `main` has set up: for a forked child.
#[expect(unsafe_code, reason = "a forked child must not run the exit handlers of its parent")]
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(code) }
}

/// Leaves namespaces for new ones. The process must have one thread.
#[expect(
    unsafe_code,
    reason = "unsafe only for flags that unshare file tables, which are not used"
)]
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: no flag given here shares or unshares a file descriptor table.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// The user namespace that owns another namespace.
#[expect(unsafe_code, reason = "an ioctl that returns a descriptor")]
pub(super) fn owner_of(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const NS_GET_USERNS: libc::c_ulong = 0xb701;
    // SAFETY: this request takes no argument and gives a new descriptor, which nobody else owns.
    unsafe {
        let fd = libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS as _);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Sets what a mount may be used for.
#[expect(unsafe_code, reason = "a system call that libc has no function for")]
pub(super) fn restrict_mount(path: &Path, to: MountUse) -> io::Result<()> {
    #[repr(C)]
    struct MountAttr {
        attr_set: u64,
        attr_clr: u64,
        propagation: u64,
        userns_fd: u64,
    }
    let mut attr_set = libc::MOUNT_ATTR_NOSUID;
    if to.read_only {
        attr_set |= libc::MOUNT_ATTR_RDONLY;
    }
    if !to.devices {
        attr_set |= libc::MOUNT_ATTR_NODEV;
    }
    let attr = MountAttr { attr_set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let path = CString::new(path.as_os_str().as_bytes())?;
    let flags = if to.recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: both pointers are valid for the call, and the size is that of what is pointed to.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Brings up the loopback device of this network namespace.
#[expect(unsafe_code, reason = "an ioctl on a network device")]
pub(super) fn raise_loopback() -> io::Result<()> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    // SAFETY: all zero is a valid request, and it outlives the call.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[..2].copy_from_slice(&[b'l' as _, b'o' as _]);
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as _;
        match libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Marks all descriptors from this one on to be closed by the next `exec`.
#[expect(unsafe_code, reason = "a system call that libc has no function for everywhere")]
pub(super) fn close_on_exec_from(first: u32) -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: takes plain numbers; nothing is closed before the exec.
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What this process does when it is asked to end.
#[derive(Clone, Copy, Debug)]
pub(super) enum OnTerminate {
    /// It ends.
    End,
    /// It goes on.
    Ignore,
    /// It asks all other processes of its process namespace to end.
    Tell,
}

/// Sets what `SIGTERM` does.
#[expect(unsafe_code, reason = "a signal handler")]
pub(super) fn on_terminate(act: OnTerminate) {
    extern "C" fn tell(_: libc::c_int) {
        // SAFETY: kill may be called in a signal handler.
        unsafe { libc::kill(-1, libc::SIGTERM) };
    }
    let handler = match act {
        OnTerminate::End => libc::SIG_DFL,
        OnTerminate::Ignore => libc::SIG_IGN,
        OnTerminate::Tell => tell as extern "C" fn(libc::c_int) as libc::sighandler_t,
    };
    // SAFETY: the handler does nothing but one call that is safe there.
    unsafe { libc::signal(libc::SIGTERM, handler) };
}

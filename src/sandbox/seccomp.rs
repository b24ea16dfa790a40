//! System calls that no tool needs and that reach past the other layers.
//!
//! Invariant: a call is refused with an error, so that a program can go on without it; only a call
//! of another architecture's table ends the process.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use super::Level;

/// Refused whatever the arguments: mounts, namespaces, the kernel's own interfaces.
const REFUSED: [i64; 37] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// Refused besides where the processes and sockets of the machine are in reach.
const REFUSED_OUTSIDE: [i64; 6] = [
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_socket,
];

/// Refuses them to this process and all that it starts. Needs `no_new_privs`.
///
/// # Errors
/// The kernel has no seccomp, or not for this architecture.
pub(super) fn apply(level: Level) -> io::Result<()> {
    for program in programs(level).map_err(io::Error::other)? {
        seccompiler::apply_filter(&program).map_err(io::Error::other)?;
    }
    Ok(())
}

fn programs(level: Level) -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    // `clone` with a flag for a new namespace; `clone3` hides its flags, see below.
    let namespaces = [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWCGROUP,
    ];
    let with_flag = |flag: i32| {
        let flag = u64::from(flag.cast_unsigned());
        rule(&[(0, SeccompCmpOp::MaskedEq(flag), flag)])
    };
    let clone = namespaces.into_iter().map(with_flag).collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_clone, clone);
    // What is typed into a terminal cannot be faked, should one ever be there.
    // TIOCSTI and TIOCLINUX: `asm-generic/ioctls.h`.
    let ioctls = [0x5412, 0x541c].map(|request| rule(&[(1, SeccompCmpOp::Eq, request)]));
    rules.insert(libc::SYS_ioctl, ioctls.into_iter().collect::<Result<_, _>>()?);
    // Beside local and internet sockets there are such that no network namespace holds.
    let number = |family: i32| u64::from(family.cast_unsigned());
    let allowed = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let others = allowed.map(|family| (0, SeccompCmpOp::Ne, number(family)));
    rules.insert(libc::SYS_socket, vec![rule(&others)?]);
    rules.extend(no_set_id()?);
    if level == Level::Reduced {
        rules.extend(REFUSED_OUTSIDE.iter().map(|call| (*call, Vec::new())));
    }
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?;
    Ok(vec![filter.try_into()?, not_there()])
}

/// Refuses the modes by which a program runs as the owner or the group of its file, whoever starts
/// it: in the worktree it would be there for every user of the machine.
fn no_set_id() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    const MODES: [u64; 2] = [0o4000, 0o2000];
    // fchmodat2(2), which libc does not name for every architecture.
    const FCHMODAT2: i64 = 452;
    // __O_TMPFILE, without the bit of O_DIRECTORY that is always set with it.
    let tmpfile = u64::from((libc::O_TMPFILE & !libc::O_DIRECTORY).cast_unsigned());
    let create = u64::from(libc::O_CREAT.cast_unsigned());
    let has = |index, bits: u64| (index, SeccompCmpOp::MaskedEq(bits), bits);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let mut refuse = |call, conditions: &[(u8, SeccompCmpOp, u64)]| {
        rules.entry(call).or_default().push(rule(conditions)?);
        Ok::<_, seccompiler::BackendError>(())
    };
    for mode in MODES {
        for (call, index) in [(libc::SYS_fchmod, 1), (libc::SYS_fchmodat, 2), (FCHMODAT2, 2)] {
            refuse(call, &[has(index, mode)])?;
        }
        refuse(libc::SYS_mknodat, &[has(2, mode)])?;
        for making in [create, tmpfile] {
            refuse(libc::SYS_openat, &[has(2, making), has(3, mode)])?;
        }
        // Calls of before there were folders in them; newer architectures have none.
        #[cfg(target_arch = "x86_64")]
        {
            for call in [libc::SYS_chmod, libc::SYS_creat, libc::SYS_mknod] {
                refuse(call, &[has(1, mode)])?;
            }
            for making in [create, tmpfile] {
                refuse(libc::SYS_open, &[has(1, making), has(2, mode)])?;
            }
        }
    }
    Ok(rules)
}

fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, seccompiler::BackendError> {
    let conditions = conditions.iter().map(|(index, op, value)| {
        SeccompCondition::new(*index, SeccompCmpArgLen::Dword, op.clone(), *value)
    });
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

/// Says of `clone3` and `openat2`, which hide what they ask for from a filter, and of all calls of
/// the x32 table, that there is no such call: programs then do without them. Written by hand, since the answer differs from that of the other filter.
fn not_there() -> BpfProgram {
    const LOAD: u16 = 0x20;
    const JUMP_EQUAL: u16 = 0x15;
    const JUMP_GREATER_EQUAL: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const X32: u32 = 0x4000_0000;
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let number = |call: i64| u32::try_from(call).unwrap_or(u32::MAX);
    vec![
        // The number of the call is the first thing a filter is given.
        step(LOAD, 0, 0, 0),
        step(JUMP_EQUAL, 3, 0, number(libc::SYS_clone3)),
        step(JUMP_EQUAL, 2, 0, number(libc::SYS_openat2)),
        step(JUMP_GREATER_EQUAL, 1, 0, X32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_programs_for_each_level() {
        for level in [Level::Full, Level::Reduced] {
            assert_eq!(programs(level).unwrap().len(), 2);
        }
    }
}

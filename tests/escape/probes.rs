//! One attempt after the other against each sandbox: as the superuser and as a plain user, by
//! bubblewrap, by namespaces of our own, and by what needs neither.
//!
//! Invariant: each attempt gets out where nothing holds it, and where the layers that hold it are
//! taken away; what cannot be tried on a machine is said aloud and counted, never passed over.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use git_agent::sandbox::layer::Layer::{
    self, Capabilities, Landlock, Limits, Namespaces, Network, Processes, Seccomp, Shadow, View,
};
use git_agent::sandbox::{Level, Mechanism, SandboxError};

use super::stage::Stage;

const FOLDER: &str = "ESCAPE_FOLDER";
const TOOLS: &str = "ESCAPE_PATH";
const LEVEL: &str = "ESCAPE_LEVEL";

/// Something a tool tries.
#[derive(Clone, Copy)]
struct Attempt {
    name: &'static str,
    script: &'static str,
    /// Without these layers it gets out of a full sandbox; none where it is held by the namespaces
    /// as such.
    held_by: &'static [Layer],
    /// Whether a reduced sandbox holds it.
    reduced: bool,
    /// Who it gets out for, where nothing holds it.
    armed: Armed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Armed {
    /// Whoever tries it.
    All,
    /// The superuser.
    Root,
    /// Nobody: it is about the sandbox itself.
    Nobody,
}

const fn held(name: &'static str, held_by: &'static [Layer], script: &'static str) -> Attempt {
    Attempt { name, script, held_by, reduced: true, armed: Armed::All }
}

const fn full_only(attempt: Attempt) -> Attempt {
    Attempt { reduced: false, ..attempt }
}

const fn of_root(attempt: Attempt) -> Attempt {
    Attempt { armed: Armed::Root, ..attempt }
}

const fn unarmed(attempt: Attempt) -> Attempt {
    Attempt { armed: Armed::Nobody, ..attempt }
}

/// Opens the view again, for reading and for writing.
const FILES: &[Layer] = &[View, Landlock];

const ATTEMPTS: &[Attempt] = &[
    held("a file outside", FILES, r#"echo x >"$OUT/new""#),
    held("a start file in the home", FILES, r#"echo x >>"$SECRETS/.bashrc""#),
    held("a file of the main checkout", FILES, r#"echo x >"$MAIN/file""#),
    held(
        "a hook",
        FILES,
        r#"mkdir -p "$MAIN/.git/hooks"; echo x >"$MAIN/.git/hooks/post-checkout""#,
    ),
    held("the configuration", FILES, r##"echo '# x' >>"$MAIN/.git/config""##),
    held(
        "a rename over the configuration",
        FILES,
        r##"cd "$MAIN/.git"; cp config new && echo '# y' >>new && mv new config"##,
    ),
    held("a configuration of the worktree", FILES, r#"echo x >"$ADMIN/config.worktree""#),
    held("commondir", FILES, r#"echo x >"$ADMIN/commondir""#),
    held(
        "info/attributes",
        FILES,
        r#"mkdir -p "$MAIN/.git/info"; echo x >"$MAIN/.git/info/attributes""#,
    ),
    held("a branch", FILES, r#"cp "$MAIN/.git/refs/heads/main" "$MAIN/.git/refs/heads/evil""#),
    held(
        "an object",
        FILES,
        r#"mkdir -p "$MAIN/.git/objects/ee"; echo x >"$MAIN/.git/objects/ee/x""#,
    ),
    held("git on the main checkout", FILES, r#"cd "$MAIN"; git -C . branch other"#),
    held(
        "git told where",
        FILES,
        r#"GIT_DIR="$MAIN/.git" git update-ref refs/heads/third "$(cat "$MAIN/.git/refs/heads/main")""#,
    ),
    held("the worktree's index", FILES, r#"echo x >"$ADMIN/index""#),
    full_only(held("the .git file", &[Shadow], r#"rm -f .git; echo "gitdir: $PWD/evil" >.git"#)),
    full_only(held("the .git file, renamed", &[Shadow], r#"mv .git .git.bak"#)),
    held("a secret of the home", FILES, r#"grep -q SECRET "$SECRETS/.ssh/id" && echo WON"#),
    held("a secret of the main checkout", FILES, r#"grep -q SECRET "$MAIN/.env" && echo WON"#),
    held(
        "a link to a secret",
        FILES,
        r#"ln -sf "$SECRETS/.ssh/id" link; grep -q SECRET link && echo WON"#,
    ),
    held(
        "a hard link to a secret",
        FILES,
        r#"rm -f hard; ln "$OUT/secret" hard && grep -q SECRET hard && echo WON"#,
    ),
    held(
        "the root of another process",
        &[],
        r#"grep -q SECRET "/proc/$OUTER/root$SECRETS/.ssh/id" && echo WON"#,
    ),
    held(
        "the environment of another process",
        &[],
        r#"grep -qz OUTER=SECRET "/proc/$OUTER/environ" && echo WON"#,
    ),
    full_only(held(
        "a list of processes",
        &[View, Processes],
        r#"[ -e "/proc/$OUTER/stat" ] && echo WON"#,
    )),
    held("a signal", &[View, Processes, Landlock], r#"kill -0 "$OUTER" && echo WON"#),
    held(
        "a trace",
        &[],
        r#"perl -e 'exit !(syscall(101, 0x4206, $ARGV[0] + 0, 0, 0) == 0)' "$OUTER" && echo WON"#,
    ),
    held("a server of the machine", &[Network], r#"echo x >"/dev/tcp/127.0.0.1/$TCP""#),
    held("a datagram", &[Network], r#"echo x >"/dev/udp/127.0.0.1/$UDP""#),
    held(
        "a socket in a folder",
        FILES,
        r#"perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0) && connect(S, pack_sockaddr_un($ARGV[0])) && print "WON"' "$OUT/socket""#,
    ),
    held(
        "a socket with a name",
        &[Network, Landlock],
        r#"perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0) && connect(S, pack_sockaddr_un("\0$ARGV[0]")) && print "WON"' "$OUT""#,
    ),
    held(
        "another user namespace",
        &[Seccomp, Namespaces],
        r#"perl -e 'exit !(syscall(272, 0x10000000) == 0)' && echo WON"#,
    ),
    of_root(held(
        "a mount",
        &[Seccomp, Capabilities, Landlock],
        r#"mkdir -p m; perl -e '$f="tmpfs"; $m="m"; exit !(syscall(165, $f, $m, $f, 0, 0) == 0)' && echo WON && umount m"#,
    )),
    held(
        "a ring of the kernel",
        &[Seccomp],
        r#"perl -e '$p = "\0" x 120; exit !(syscall(425, 1, $p) >= 0)' && echo WON"#,
    ),
    held("a keyring", &[Seccomp], r#"perl -e 'exit !(syscall(250, 0, -3, 1) >= 0)' && echo WON"#),
    held(
        "a socket of another family",
        &[Seccomp],
        r#"perl -e 'exit !(syscall(41, 40, 1, 0) >= 0)' && echo WON"#,
    ),
    of_root(held(
        "a capability",
        &[Capabilities],
        r#"grep -q 'CapPrm:.*[1-9a-f]' /proc/self/status && echo WON"#,
    )),
    unarmed(held(
        "a setting of the kernel",
        &[],
        r#"(: >>/proc/sys/kernel/core_pattern) && echo WON"#,
    )),
    held(
        "a program that runs as its owner",
        &[Seccomp],
        r#"cp /bin/true own; chmod u+s own; [ -u own ] && echo WON; rm -f own"#,
    ),
    held(
        "a program that runs as its group",
        &[Seccomp],
        r#"install -m 2755 /bin/true own; [ -g own ] && echo WON; rm -f own"#,
    ),
    held(
        "a program that is made to run as its owner",
        &[Seccomp],
        r#"perl -e 'use Fcntl; sysopen(F, "own", O_CREAT | O_WRONLY, 04755)'; [ -u own ] && echo WON; rm -f own"#,
    ),
    held("a file of ten gigabytes", &[Limits], r#"truncate -s 10G big && echo WON; rm -f big"#),
    held("a descriptor left open", &[], r#"[ "$(ls /proc/self/fd | wc -l)" -gt 4 ] && echo WON"#),
];

#[test]
fn the_superuser_by_bubblewrap() {
    as_who(SCENE, None, Some(Mechanism::Bubblewrap));
}

#[test]
fn the_superuser_by_own_namespaces() {
    as_who(SCENE, None, Some(Mechanism::Namespaces));
}

#[test]
fn the_superuser_without_namespaces() {
    as_who(SCENE, None, None);
}

const SCENE: &str = "escape::probes::scene";

/// Nobody on most systems.
pub(super) const PLAIN: u32 = 65534;

#[test]
fn a_plain_user_by_bubblewrap() {
    as_who(SCENE, Some(PLAIN), Some(Mechanism::Bubblewrap));
}

#[test]
fn a_plain_user_by_own_namespaces() {
    as_who(SCENE, Some(PLAIN), Some(Mechanism::Namespaces));
}

#[test]
fn a_plain_user_without_namespaces() {
    as_who(SCENE, Some(PLAIN), None);
}

/// Runs a scene, an ignored test, as this user, or as ours.
#[expect(clippy::disallowed_methods, reason = "another process of the test")]
pub(super) fn as_who(scene: &str, user: Option<u32>, mechanism: Option<Mechanism>) {
    let is_root = rustix::process::geteuid().is_root();
    if user.is_some() && !is_root {
        return skip("only the superuser can become somebody else");
    }
    if user.is_none() && !is_root {
        eprintln!("as this user, who is not the superuser");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = tools(folder.path(), mechanism);
    let program = env::current_exe().expect("this program");
    let args = ["--exact", scene, "--ignored", "--nocapture"];
    let mut scene = match user {
        None => Command::new(&program),
        Some(user) => {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("ours");
            give(folder.path(), user);
            let mut scene = Command::new("setpriv");
            scene.args([format!("--reuid={user}"), format!("--regid={user}")]);
            scene.arg("--clear-groups").arg(&program);
            scene
        }
    };
    let scene = scene.args(args).env(FOLDER, folder.path()).env(TOOLS, &path).env("PATH", path);
    let level = if mechanism.is_some() { "full" } else { "reduced" };
    let said = scene.env(LEVEL, level).env_remove("TMPDIR").output();
    let said = match said {
        Ok(said) => said,
        Err(error) => return skip(&format!("the scene cannot be played: {error}")),
    };
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    eprintln!("{text}");
    assert!(said.status.success(), "{text}");
}

pub(super) fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
}

/// Links to the programs that the attempts need, with bubblewrap or without.
fn tools(folder: &Path, mechanism: Option<Mechanism>) -> String {
    let bin = folder.join("bin");
    fs::create_dir(&bin).expect("an empty folder");
    let path = "/usr/local/bin:/usr/bin:/bin";
    match mechanism {
        // A program of that name that cannot do it: then we do without.
        Some(Mechanism::Namespaces) | None => {
            let text =
                "#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n";
            fs::write(bin.join("bwrap"), text).expect("a new file");
            fs::set_permissions(bin.join("bwrap"), fs::Permissions::from_mode(0o755))
                .expect("ours");
            format!("{}:{path}", bin.display())
        }
        Some(Mechanism::Bubblewrap) => path.to_owned(),
    }
}

/// What makes the namespaces for who has this `PATH`.
pub(super) fn mechanism_on(path: &str) -> Mechanism {
    match path.starts_with("/usr") {
        true => Mechanism::Bubblewrap,
        false => Mechanism::Namespaces,
    }
}

fn give(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).expect("we are the superuser");
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("it is ours").flatten() {
            give(&entry.path(), user);
        }
    }
}

#[test]
#[ignore = "the other process of the tests above"]
fn scene() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let path = env::var(TOOLS).expect("it is set with the folder");
    let level = Level::named(&env::var(LEVEL).expect("it too")).expect("a level");
    // What a careless parent would leave to its children; else there is nothing to hold back.
    let left_open = fs::File::open("/dev/null").expect("it is there");
    rustix::io::fcntl_setfd(&left_open, rustix::io::FdFlags::empty()).expect("it is open");
    let stage = Stage::set(Path::new(&folder), &path);
    let sandbox = match stage.sandbox(level, &[]) {
        Ok(sandbox) => sandbox,
        Err(SandboxError::Unavailable { reasons, .. }) => return skip(&reasons.join("; ")),
        Err(error) => panic!("{error}"),
    };
    let wanted = (level == Level::Full).then(|| mechanism_on(&path));
    if sandbox.mechanism() != wanted {
        return skip(&format!("{wanted:?} is not to be had here"));
    }
    let works = "git status --porcelain && git log --oneline >/dev/null && echo x >made && rm made && echo WORKS";
    let (_, said) = stage.lets_out(&sandbox, works, Duration::ZERO);
    assert!(said.ends_with("WORKS\n"), "{said}");
    for attempt in ATTEMPTS {
        if level == Level::Reduced && !attempt.reduced {
            continue;
        }
        let (won, said) = stage.lets_out(&sandbox, attempt.script, Duration::from_millis(20));
        assert!(!won, "{} got out: {said}", attempt.name);
    }
    let shown = get_out_without_their_layers(&folder, &path, level);
    println!("{} attempts, {shown} of them shown to get out without their layers", ATTEMPTS.len());
}

/// Shows that attempts are no duds: where the layers that hold them are taken away, they get out.
/// Those that the same layers hold share a stage. How many were shown.
fn get_out_without_their_layers(folder: &std::ffi::OsStr, path: &str, level: Level) -> usize {
    let is_root = rustix::process::geteuid().is_root();
    let can = |attempt: &&Attempt| match attempt.armed {
        Armed::All => true,
        Armed::Root => is_root,
        Armed::Nobody => false,
    };
    let bare = |attempt: &Attempt| match level {
        Level::Full if !attempt.held_by.is_empty() => (Level::Full, attempt.held_by),
        _ => (Level::None, &[][..]),
    };
    let mut groups: Vec<(Level, &[Layer])> = ATTEMPTS.iter().map(bare).collect();
    groups.sort_by_key(|group| format!("{group:?}"));
    groups.dedup();
    let mut shown = 0;
    for group in groups {
        let folder = tempfile::tempdir_in(folder).expect("a folder of ours");
        let stage = Stage::set(folder.path(), path);
        let sandbox = stage.sandbox(group.0, group.1).expect("it worked before");
        for attempt in ATTEMPTS.iter().filter(can).filter(|attempt| bare(attempt) == group) {
            let (won, said) = stage.lets_out(&sandbox, attempt.script, ON_ITS_WAY);
            // A kernel may lack what only it could give.
            if !won && MAY_BE_ABSENT.contains(&attempt.name) {
                eprintln!("SKIPPED: {} does not get out of {group:?}: {said}", attempt.name);
                continue;
            }
            assert!(won, "{} does not get out of {group:?}: {said}", attempt.name);
            shown += 1;
        }
    }
    shown
}

/// How long a datagram may be on its way on a busy machine.
const ON_ITS_WAY: Duration = Duration::from_secs(3);

const MAY_BE_ABSENT: [&str; 3] =
    ["a ring of the kernel", "a keyring", "a socket of another family"];

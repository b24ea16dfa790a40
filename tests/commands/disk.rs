//! A disk that is full: a small file system of its own, mounted where only the test sees it.
//!
//! Invariant: where the system lets nobody mount (an unprivileged container, macOS) nothing is
//! claimed, and the test says so.

use std::time::Duration;

use serde_json::json;

use super::{PATIENCE, transcript};
use crate::support::repo::Repo;

/// `fill` and `free` fill and free the disk; `cd`ed into a copy of the repository on it.
const PRELUDE: &str = "\
set -eu
mkdir disk && mount -t tmpfs -o size=$SIZE tmpfs disk && cp -r shop disk/shop && cd disk/shop
git config agent.minFreeDisk 0
fill() { dd if=/dev/zero of=../fill bs=4k 2>/dev/null || :; }
free() { rm ../fill; }
state() { git agent list --json | sed 's/.*\"state\":\"\\([a-z-]*\\)\".*/\\1/'; }
until_state() { until test \"$(state)\" = $1; do sleep 0.02; done; }
all() { git for-each-ref; git worktree list; find .. -not -path '*/objects*' -not -path '*/.git/agent*' | sort; }
";

/// What the script prints on a disk of this size, run by whoever may mount for itself alone; none if nobody may.
pub(crate) fn on_a_small_disk(
    repo: &Repo,
    size: &str,
    script: &str,
    limit: Duration,
) -> Option<String> {
    let root = repo.home().root();
    let unshare = |args: &[&str]| repo.home().cmd("unshare").dir(root).args(args);
    let mount = "mkdir -p try && mount -t tmpfs -o size=64k tmpfs try";
    let here = cfg!(target_os = "linux") && unshare(&["-rm", "sh", "-c", mount]).run().code == 0;
    if !here {
        eprintln!("skipped: nobody may mount a file system here");
        return None;
    }
    let script = format!("{PRELUDE}{script}");
    let out = unshare(&["-rm", "sh", "-c", &script]).env("SIZE", size).limit(limit).run();
    let out = repo.normal(&out);
    assert_eq!((out.stderr.as_str(), out.code), ("", 0), "{}", out.stdout);
    Some(out.stdout)
}

#[test]
fn a_session_is_made_whole_or_not_at_all() {
    let repo = Repo::new();
    let model = super::quick(&repo);
    let script = format!(
        "all >../../before; fill
        git agent start 'say hi' --model {model} 2>&1 || echo \"exit $?\"
        free; all >../../after; cmp ../../before ../../after
        ls .git/agent/sessions
        git agent start 'say hi' --model {model} --wait >/dev/null 2>&1; state"
    );
    let Some(said) = on_a_small_disk(&repo, "1m", &script, PATIENCE * 2) else { return };
    assert_eq!(
        said,
        "error: the session cannot be made: No space left on device\n\
         hint: Free some space, then start it again; nothing was kept\n\
         exit 1\n\
         done\n"
    );
}

#[test]
fn a_session_that_meets_a_full_disk_goes_on_when_there_is_room() {
    let repo = Repo::new();
    let go = repo.home().root().join("go");
    let wait =
        format!("until test -e '{}'; do sleep 0.02; done; echo made >made.txt", go.display());
    let model = transcript(
        &repo,
        "wait.jsonl",
        &[
            json!(["bash", {"command": wait}]),
            json!(["write", {"path": "new.txt", "content": "new\n"}]),
            json!("All is done."),
        ],
    );
    let script = format!(
        "git agent start 'say hi' --model {model} >/dev/null 2>&1
        until_state running; until git agent status --json say-hi | grep -q 'steps\":1'; do :; done
        fill; touch ../../go; until_state paused
        free; git agent resume say-hi 2>&1; until_state done
        git diff --stat=60 main agent/say-hi -- new.txt
        git fsck --strict --no-dangling --no-progress; git status --short"
    );
    let Some(said) = on_a_small_disk(&repo, "1m", &script, PATIENCE * 2) else { return };
    let (resumed, rest) = said.split_once("hint: git agent attach ").unwrap();
    assert!(resumed.ends_with(", which was paused\n"), "{said}");
    let rest = rest.split_once('\n').unwrap().1;
    assert_eq!(rest, " new.txt | 1 +\n 1 file changed, 1 insertion(+)\n");
}

#[test]
fn k07_a_floor_refuses_what_is_new_and_pauses_what_runs() {
    let repo = Repo::new();
    let go = repo.home().root().join("go");
    let wait = format!(
        "until test -e '{}'; do sleep 0.02; done; dd if=/dev/zero of=big.tmp bs=4k count=100 2>&1",
        go.display()
    );
    let model = transcript(
        &repo,
        "wait.jsonl",
        &[json!(["bash", {"command": wait}]), json!(["bash", {"command": "true"}]), json!("Done.")],
    );
    let script = format!(
        "git config agent.minFreeDisk 300k; git agent start 'say hi' --model {model} >/dev/null 2>&1
        until_state running; until git agent status --json say-hi | grep -q 'steps\":1'; do :; done
        touch ../../go; until_state paused
        git agent status say-hi --json | grep -o '\"steps\":[0-9]*' | head -1
        git agent list | grep -o 'less than agent.minFreeDisk wants: 1 MiB'
        all >../../before
        git agent start 'say more' --model {model} 2>&1 || echo \"exit $?\"
        all >../../after; cmp ../../before ../../after
        rm ../shop.worktrees/say-hi/big.tmp; git agent resume say-hi >/dev/null 2>&1; until_state done"
    );
    let Some(said) = on_a_small_disk(&repo, "1m", &script, PATIENCE * 2) else { return };
    assert_eq!(
        said,
        "\"steps\":1\n\
         less than agent.minFreeDisk wants: 1 MiB\n\
         error: 0 MiB are free at [ROOT]/disk/shop/.git/agent, less than agent.minFreeDisk wants: \
         1 MiB\n\
         hint: git agent gc frees space\n\
         exit 1\n"
    );
}

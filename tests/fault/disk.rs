//! A disk that is full at each of a session's writes in turn: filled but for so many pages, so that
//! one write after the other is the one that fails.
//!
//! Invariant: the session rests with a clear word, and goes on to the same end once there is room.

use std::time::Duration;

use serde_json::json;

use crate::commands::disk::on_a_small_disk;
use crate::commands::transcript;
use crate::support::repo::Repo;

/// One session for each number of free pages, on a disk with room for all that they leave behind;
/// what the script says of them all.
fn fill_but_for(pages: impl Iterator<Item = u32>, size: &str, limit: Duration) {
    let pages: Vec<_> = pages.map(|it| it.to_string()).collect();
    let repo = Repo::new();
    let model = transcript(
        &repo,
        "wait.jsonl",
        &[
            json!(["bash", {"command": "until test -e \"$PWD.go\"; do sleep 0.02; done; echo made >made.txt"}]),
            json!(["write", {"path": "new.txt", "content": "new\n"}]),
            json!(["bash", {"command": "for n in made; do test -s $n.txt || echo $n >$n.txt; done; test -s new.txt || echo new >new.txt"}]),
            json!(["bash", {"command": "echo end >end.txt"}]),
            json!(["bash", {"command": "echo end >end.txt"}]),
            json!("All is done."),
        ],
    );
    let script = format!(
        "of() {{ git agent status --json hi-$1 | sed 's/.*\"state\":\"\\([a-z-]*\\)\".*/\\1/'; }}
        met=0
        for k in {}; do
            git agent start 'say hi' --worktree hi-$k --model {model} >/dev/null 2>&1
            until git agent status --json hi-$k | grep -q 'steps\":1'; do sleep 0.02; done
            fill; truncate -s -$((k * 4096)) ../fill; touch ../shop.worktrees/hi-$k.go
            until case $(of $k) in paused | done | interrupted | failed) :;; *) false;; esac; do sleep 0.02; done
            if test $(of $k) != done; then
                met=$((met + 1))
                git agent list | grep -q \"hi-$k.*No space left\" || {{ echo \"$k: $(git agent list | grep hi-$k)\"; }}
            fi
            free
            test $(of $k) = done || git agent resume hi-$k >/dev/null 2>&1
            until test $(of $k) = done; do sleep 0.02; done
            git diff --stat=60 main agent/hi-$k | tail -1 >../../stat
            grep -q '3 files changed, 3 insertions(+)' ../../stat || {{ echo $k; cat ../../stat; }}
            git agent worktree remove hi-$k >/dev/null 2>&1
        done
        git fsck --strict --no-dangling --no-progress
        test $met -gt 0 || echo 'no write met the full disk'
        echo $met >../../met",
        pages.join(" ")
    );
    let Some(said) = on_a_small_disk(&repo, size, &script, limit) else { return };
    assert_eq!(said, "");
    let met = std::fs::read_to_string(repo.home().root().join("met")).unwrap_or_default();
    println!("sessions {}, of which {} met the full disk", pages.len(), met.trim());
}

#[test]
fn k06_full_at_one_write_after_the_other() {
    fill_but_for([0, 3, 9, 20].into_iter(), "8m", Duration::from_secs(240));
}

#[test]
#[ignore = "long"]
fn long_full_at_every_write() {
    fill_but_for(0..50, "64m", Duration::from_secs(1200));
}

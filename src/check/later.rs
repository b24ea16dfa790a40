//! Files that tools of the user run or obey later, outside of any sandbox: an agent changes them only
//! where a person has looked.
//!
//! Invariant: the table is all there is; a file that an ordinary build reads is not in it, since an
//! agent that may not touch those can do no work.

use std::sync::LazyLock;

use serde_json::Value;

use super::{Changes, CheckError, Judge, finding};
use crate::event::Finding;
use crate::git::{Difference, Mode};
use crate::pattern::{Patterns, Use};

/// The rule's name in findings.
pub const RULE: &str = "runs-later";

/// What runs or obeys which files.
const TABLE: &[(&str, &[&str])] = &[
    ("is run by direnv", &["**/.envrc"]),
    (
        "is run by an editor",
        &[
            "**/.vscode/tasks.json",
            "**/.vscode/launch.json",
            "**/.vscode/settings.json",
            "**/.idea",
            "**/.devcontainer",
            "**/.devcontainer.json",
        ],
    ),
    (
        "is run by git hooks",
        &[
            "**/.husky",
            "**/lefthook.{yml,yaml,toml,json}",
            "**/.lefthook.{yml,yaml,toml,json}",
            "**/lefthook-local.{yml,yaml,toml,json}",
            "**/.pre-commit-config.{yml,yaml}",
        ],
    ),
    ("changes what git does", &["**/.gitattributes", "**/.gitmodules", ".worktreeinclude"]),
    (
        "changes what a package manager runs",
        &[
            "**/.npmrc",
            "**/.yarnrc",
            "**/.yarnrc.yml",
            "**/.yarn/plugins",
            "**/.yarn/releases",
            "**/.pnpmfile.cjs",
            "**/.cargo/config",
            "**/.cargo/config.toml",
            "**/.mise.toml",
            "**/mise.toml",
        ],
    ),
    (
        "is run by CI",
        &[
            ".github/workflows",
            ".github/actions",
            ".gitlab-ci.yml",
            ".gitlab/ci",
            ".forgejo/workflows",
            ".gitea/workflows",
            ".woodpecker",
            ".woodpecker.{yml,yaml}",
            ".circleci",
            ".buildkite",
            ".builds",
            ".build.yml",
            ".cirrus.yml",
            ".drone.yml",
            ".travis.yml",
            "appveyor.yml",
            ".appveyor.yml",
            "azure-pipelines.yml",
            "bitbucket-pipelines.yml",
            "Jenkinsfile",
        ],
    ),
    (
        "is obeyed by agents",
        &[
            "**/AGENTS.md",
            "**/CLAUDE.md",
            "**/GEMINI.md",
            "**/.claude",
            "**/.codex",
            "**/.agents",
            "**/.cursor",
            "**/.cursorrules",
            "**/.opencode",
            "**/.mcp.json",
            "**/.goosehints",
            ".github/copilot-instructions.md",
            ".gitagent.toml",
        ],
    ),
];

/// Scripts of a `package.json` that package managers run by themselves
/// (docs.npmjs.com/cli/using-npm/scripts, "Life Cycle Scripts").
const NPM_HOOKS: [&str; 12] = [
    "preinstall",
    "install",
    "postinstall",
    "preprepare",
    "prepare",
    "postprepare",
    "prepublish",
    "prepublishOnly",
    "prepack",
    "postpack",
    "dependencies",
    "pnpm:devPreinstall",
];

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let texts: Vec<&str> = TABLE.iter().flat_map(|(_, patterns)| *patterns).copied().collect();
    Patterns::new(&texts, Use::Restrict).unwrap_or_default()
});

/// Why a person looks at this path, if they do.
pub fn why(path: &str) -> Option<&'static str> {
    let pattern = PATTERNS.first(path)?;
    TABLE.iter().find(|(_, patterns)| patterns.contains(&pattern)).map(|(why, _)| *why)
}

/// Looks for changes of such files.
#[derive(Clone, Copy, Debug)]
pub struct RunsLater;

impl Judge for RunsLater {
    fn judge(&self, changes: &Changes<'_>) -> Result<Vec<Finding>, CheckError> {
        let mut found = Vec::new();
        for change in &changes.paths {
            let path = change.path.to_string();
            if let Some(why) = why(&path) {
                found.push(finding(RULE, change, why));
            } else if path.rsplit('/').next() == Some("package.json") {
                found.extend(hook(changes, change)?);
            }
        }
        Ok(found)
    }
}

/// A `package.json` whose hooks are others than before, or cannot be known: package managers take
/// more for JSON than we do (comments, for one), and follow links.
fn hook(changes: &Changes<'_>, change: &Difference) -> Result<Option<Finding>, CheckError> {
    let nothing = || vec![None; NPM_HOOKS.len()];
    let read = |side: Option<(Mode, _)>| match side {
        Some((Mode::File | Mode::Executable, id)) => {
            changes.repo().read_blob(id).map(|it| hooks(&it))
        }
        Some(_) => Ok(None),
        None => Ok(Some(nothing())),
    };
    let Some(new) = read(change.new)? else {
        let why = "is no JSON in a plain file, so what package managers run of it is not known";
        return Ok(Some(finding(RULE, change, why)));
    };
    let old = read(change.old)?.unwrap_or_else(nothing);
    let differs = NPM_HOOKS.iter().zip(old.iter().zip(&new)).find(|(_, (old, new))| old != new);
    Ok(differs.filter(|(_, (_, new))| new.is_some()).map(|(name, _)| {
        finding(RULE, change, format!("has a script \"{name}\", which package managers run"))
    }))
}

/// The hooks of a `package.json`, in the order of the table; none if it is no JSON. A mark of the
/// byte order at its beginning is passed over, as npm does.
fn hooks(bytes: &[u8]) -> Option<Vec<Option<Value>>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let package: Value = serde_json::from_slice(bytes).ok()?;
    let scripts = package.get("scripts");
    Some(NPM_HOOKS.iter().map(|name| scripts.and_then(|all| all.get(name)).cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;

    #[test]
    fn the_table_is_of_patterns() {
        let texts: Vec<&str> = TABLE.iter().flat_map(|(_, patterns)| *patterns).copied().collect();
        Patterns::new(&texts, Use::Restrict).unwrap();
    }

    #[test]
    fn what_runs_later_is_told_from_source() {
        let looked_at = [
            (".envrc", "is run by direnv"),
            ("sub/.ENVRC", "is run by direnv"),
            (".idea/x/y.xml", "is run by an editor"),
            (".husky/pre-commit", "is run by git hooks"),
            ("lefthook.yml", "is run by git hooks"),
            ("a/.gitattributes", "changes what git does"),
            (".github/workflows/ci.yml", "is run by CI"),
            ("agents.md", "is obeyed by agents"),
            (".claude/settings.json", "is obeyed by agents"),
        ];
        for (path, wanted) in looked_at {
            assert_eq!(why(path), Some(wanted), "{path}");
        }
        for path in
            ["src/main.rs", "Makefile", "package.json", "docs/.github/x", "a/Jenkinsfile.md"]
        {
            assert_eq!(why(path), None, "{path}");
        }
    }

    #[test]
    fn a_package_is_looked_at_where_its_hooks_change() {
        let fixture = Fixture::with_commit(&[]);
        let repo = fixture.repo_at(&fixture.root, &[]);
        let tree = |text: Option<&str>| {
            let blob = text.map(|text| (Mode::File, repo.write_blob(text.as_bytes()).unwrap()));
            repo.edit_tree(None, &[("web/package.json", blob), ("x", None)]).unwrap()
        };
        let why = |old: Option<&str>, new: Option<&str>| {
            let changes = Changes::between(&repo, tree(old), tree(new)).unwrap();
            let found = changes.judged_by(&[&RunsLater]).unwrap();
            found.into_iter().map(|it| (it.path, it.why)).collect::<Vec<_>>()
        };
        let (plain, hooked) = (r#"{"scripts":{"test":"x"}}"#, r#"{"scripts":{"prepare":"x"}}"#);
        let path = "web/package.json".to_owned();
        let wanted = (path, "has a script \"prepare\", which package managers run".to_owned());
        assert_eq!(why(Some(plain), Some(hooked)), std::slice::from_ref(&wanted));
        assert_eq!(why(None, Some(hooked)), std::slice::from_ref(&wanted));
        for (old, new) in [(None, Some(plain)), (Some(hooked), Some(plain)), (Some(hooked), None)] {
            assert_eq!(why(old, new), []);
        }
        let other = r#"{"scripts":{"prepare":"x","test":"y"},"version":"2"}"#;
        assert_eq!(why(Some(hooked), Some(other)), [], "the hook is as it was");
        // What hides a hook from us, and from no package manager.
        let marked = format!("\u{feff}{hooked}");
        assert_eq!(why(Some(plain), Some(&marked)), [wanted]);
        let commented = format!("// x\n{hooked}");
        let unknown = why(Some(plain), Some(&commented));
        assert_eq!(unknown.len(), 1);
        assert!(unknown[0].1.starts_with("is no JSON in a plain file"), "{unknown:?}");
        let target = repo.write_blob(b"data.txt").unwrap();
        let linked = [("web/package.json", Some((Mode::Link, target))), ("x", None)];
        let linked = repo.edit_tree(None, &linked).unwrap();
        let changes = Changes::between(&repo, tree(Some(plain)), linked).unwrap();
        assert_eq!(changes.judged_by(&[&RunsLater]).unwrap().len(), 1);
    }
}

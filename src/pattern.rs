//! Patterns of paths, as rules and flags have them.
//!
//! A pattern begins at the root of the repository, and what it names stands for all below it: `src`,
//! `src/`, `src/**` are the same tree, and no `src` elsewhere. `*` and `?` stay within a folder,
//! `**/` stands for any folders, `[a-c]` and `{a,b}` for one of several.
//!
//! Invariant: what restricts matches in any case of letters, since some file systems see none; what
//! allows matches as written.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// A list of patterns.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    set: GlobSet,
    texts: Vec<String>,
}

/// What a match is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// To allow: in the case that was written.
    Allow,
    /// To ask or to deny: in any case.
    Restrict,
}

/// No pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad pattern '{text}': {why}")]
pub struct BadPattern {
    /// As it was given.
    pub text: String,
    /// What is wrong.
    pub why: String,
}

impl Patterns {
    /// Patterns from their texts.
    ///
    /// # Errors
    /// One is empty, leads out of the repository, or is no glob.
    pub fn new<S: AsRef<str>>(texts: &[S], to: Use) -> Result<Self, BadPattern> {
        let mut set = GlobSetBuilder::new();
        for text in texts {
            let text = text.as_ref();
            for glob in globs(text).map_err(|why| bad(text, why))? {
                let glob = GlobBuilder::new(&glob)
                    .literal_separator(true)
                    .backslash_escape(true)
                    .case_insensitive(to == Use::Restrict)
                    .build();
                set.add(glob.map_err(|error| bad(text, error.kind().to_string()))?);
            }
        }
        let first = texts.first().map(AsRef::as_ref).unwrap_or_default();
        let set = set.build().map_err(|error| bad(first, error.kind().to_string()))?;
        Ok(Self { set, texts: texts.iter().map(|text| text.as_ref().to_owned()).collect() })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The first that matches this path, `/`-separated from the root, as it was given.
    pub fn first(&self, path: &str) -> Option<&str> {
        // Each text has made two globs: the path itself, and all below it.
        let at = self.set.matches(path).into_iter().min()? / 2;
        self.texts.get(at).map(String::as_str)
    }

    /// Whether one matches this path.
    pub fn matches(&self, path: &str) -> bool {
        self.set.is_match(path)
    }
}

/// A list of patterns of names that are no paths of a repository, in any case of letters: `*`
/// stands for any letters, and a folder for all below it.
#[derive(Clone, Debug, Default)]
pub struct Names(GlobSet);

impl Names {
    /// Patterns from their texts.
    ///
    /// # Errors
    /// One is empty, or no glob.
    pub fn new<S: AsRef<str>>(texts: &[S]) -> Result<Self, BadPattern> {
        let mut set = GlobSetBuilder::new();
        for text in texts {
            let text = text.as_ref();
            let named = text.trim_end_matches('/');
            if named.is_empty() {
                return Err(bad(text, "it names nothing"));
            }
            for glob in [named.to_owned(), format!("{named}/**")] {
                let glob = GlobBuilder::new(&glob).case_insensitive(true).build();
                set.add(glob.map_err(|error| bad(text, error.kind().to_string()))?);
            }
        }
        let first = texts.first().map(AsRef::as_ref).unwrap_or_default();
        set.build().map(Self).map_err(|error| bad(first, error.kind().to_string()))
    }

    /// Whether one matches.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

/// The path itself, and all below it.
fn globs(text: &str) -> Result<[String; 2], String> {
    let from_root = "it is a path from the root of the repository, such as src/** or **/*.pem";
    let named = text.trim().trim_start_matches("./").trim_end_matches('/');
    let named = named.strip_suffix("/**").unwrap_or(named);
    if named.is_empty() {
        return Err(from_root.to_owned());
    }
    if named.starts_with(['/', '~', '$']) || named.split('/').any(|part| part == "..") {
        return Err(format!("{from_root}, and leads nowhere else"));
    }
    Ok([named.to_owned(), format!("{named}/**")])
}

fn bad(text: &str, why: impl Into<String>) -> BadPattern {
    BadPattern { text: text.to_owned(), why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching<'p>(pattern: &str, to: Use, paths: &[&'p str]) -> Vec<&'p str> {
        let patterns = Patterns::new(&[pattern], to).unwrap();
        paths.iter().copied().filter(|path| patterns.matches(path)).collect()
    }

    #[test]
    fn x11_a_pattern_is_a_tree_at_the_root_and_no_other() {
        let paths = ["src", "src/a", "src/b/c", "lib/src/a", "srcs/a", "SRC/a"];
        for pattern in ["src", "src/", "./src", "src/**", " src/** "] {
            assert_eq!(matching(pattern, Use::Allow, &paths), ["src", "src/a", "src/b/c"]);
        }
        assert_eq!(
            matching("**/src", Use::Allow, &paths),
            ["src", "src/a", "src/b/c", "lib/src/a"]
        );
        assert_eq!(
            matching("src/*", Use::Allow, &["src/a", "src/b/c", "src"]),
            ["src/a", "src/b/c"]
        );
        assert_eq!(matching("*.rs", Use::Allow, &["a.rs", "b/a.rs"]), ["a.rs"]);
        assert_eq!(matching("**", Use::Allow, &["a", "b/c", ".env"]), ["a", "b/c", ".env"]);
    }

    #[test]
    fn x07_what_restricts_sees_no_case() {
        let paths = [".env", ".ENV", "a/.env"];
        assert_eq!(matching(".Env", Use::Restrict, &paths), [".env", ".ENV"]);
        assert_eq!(matching(".Env", Use::Allow, &paths), [""; 0]);
    }

    #[test]
    fn what_leads_elsewhere_is_no_pattern() {
        for text in ["", " ", "/", "./", "/etc", "~/x", "$HOME/x", "../x", "a/../../x"] {
            let error = Patterns::new(&[text], Use::Restrict).unwrap_err();
            assert!(error.why.starts_with("it is a path from the root"), "{error}");
        }
        let error = Patterns::new(&["a", "b[c"], Use::Allow).unwrap_err();
        assert_eq!(error.to_string(), "bad pattern 'b[c': unclosed character class; missing ']'");
    }

    #[test]
    fn the_first_that_matches_is_named() {
        let patterns = Patterns::new(&["a/*.rs", "a", "b"], Use::Restrict).unwrap();
        let first = ["a/x.rs", "a/y", "b/c", "c"].map(|path| patterns.first(path));
        assert_eq!(first, [Some("a/*.rs"), Some("a"), Some("b"), None]);
        assert!(!Patterns::default().matches("a") && Patterns::default().is_empty());
    }
}

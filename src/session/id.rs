//! Ids and names of sessions: readable, unique across machines, safe as file and ref names.
//!
//! Invariant: what [`slug`] and [`fresh`] make passes [`check_name`]; a name that git would refuse
//! is refused here, with the reason.

/// The longest slug, in characters; each is one byte.
const SLUG_CHARS: usize = 40;
/// The most words in a slug.
const SLUG_WORDS: usize = 5;
/// The longest part of a name between slashes, in bytes: with `.lock` behind it, it is still a
/// file name everywhere.
const PART_BYTES: usize = 200;
/// 32 characters that no one confuses: without `0 1 i l`.
const TAIL_ALPHABET: &[u8; 32] = b"23456789abcdefghjkmnopqrstuvwxyz";
/// Words that say nothing at the end of a slug.
const SMALL_WORDS: [&str; 20] = [
    "a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "in", "is", "of", "on", "or",
    "so", "that", "the", "to", "with",
];

/// A name that cannot be one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a valid name: {why}")]
pub struct NameError {
    /// What was given.
    pub given: String,
    /// Which rule it breaks.
    pub why: &'static str,
}

/// The system has no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("no random numbers from the system")]
pub struct RandomError(#[from] getrandom::Error);

/// The task in a few words, as a name: lower-case ASCII words joined by `-`, never empty.
///
/// ```
/// use git_agent::session::id::slug;
/// assert_eq!(slug("Add rate limiting to the login endpoint"), "add-rate-limiting");
/// ```
pub fn slug(task: &str) -> String {
    let line = task.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    // An apostrophe joins: "don't" is one word.
    let plain: String = line.chars().filter(|c| !matches!(c, '\'' | '’')).flat_map(plain).collect();
    let mut words = Vec::new();
    let mut chars = 0;
    for word in plain.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()) {
        let room = SLUG_CHARS - chars;
        if words.is_empty() {
            words.push(&word[..word.len().min(room)]);
        } else if words.len() < SLUG_WORDS && word.len() < room {
            words.push(word);
            chars += 1;
        } else {
            break;
        }
        chars += words.last().map_or(0, |word| word.len());
    }
    while words.len() > 1 && words.last().is_some_and(|word| SMALL_WORDS.contains(word)) {
        words.pop();
    }
    if words.is_empty() { "session".to_owned() } else { words.join("-") }
}

/// A new id: the slug and four random characters, `add-rate-limiting-7f3k`.
///
/// # Errors
/// The system has no random numbers.
pub fn fresh(slug: &str) -> Result<String, RandomError> {
    Ok(format!("{slug}-{}", tail()?))
}

/// Four random characters of a 32-letter alphabet: one in a million meets another.
pub(super) fn tail() -> Result<String, RandomError> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| char::from(TAIL_ALPHABET[usize::from(byte % 32)])).collect())
}

/// Whether `name` can name a session and its worktree: a branch name of one part.
///
/// # Errors
/// The rule it breaks.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.contains('/') {
        return Err(NameError { given: name.to_owned(), why: "it contains '/'" });
    }
    check_branch(name)
}

/// Whether `name`, without `refs/heads/`, can name a branch: the rules of `git check-ref-format
/// --branch`, and parts short enough to be files.
///
/// # Errors
/// The rule it breaks.
pub fn check_branch(name: &str) -> Result<(), NameError> {
    let broken = if name.is_empty() {
        Some("it is empty")
    } else if name.starts_with('-') {
        Some("it begins with '-'")
    } else if name == "HEAD" || name == "@" {
        Some("git has another use for it")
    } else if name.starts_with('/') || name.ends_with('/') || name.contains("//") {
        Some("it has an empty part")
    } else if name.split('/').any(|part| part.starts_with('.')) {
        Some("a part begins with '.'")
    } else if name.split('/').any(|part| part.ends_with(".lock")) {
        Some("a part ends with '.lock'")
    } else if name.ends_with('.') {
        Some("it ends with '.'")
    } else if name.contains("..") {
        Some("it contains '..'")
    } else if name.contains("@{") {
        Some("it contains '@{'")
    } else if name.chars().any(|c| c.is_control() || " ~^:?*[\\".contains(c)) {
        Some("it contains a space, a control character or one of ~^:?*[\\")
    } else if name.split('/').any(|part| part.len() > PART_BYTES) {
        Some("it is too long")
    } else {
        None
    };
    match broken {
        Some(why) => Err(NameError { given: name.to_owned(), why }),
        None => Ok(()),
    }
}

/// A letter in plain lower-case ASCII, as far as there is a common spelling.
fn plain(c: char) -> impl Iterator<Item = char> {
    let lower = c.to_lowercase().next().unwrap_or(c);
    let mut single = ['\0'; 1];
    let spelled = match lower {
        'à' | 'á' | 'â' | 'ã' | 'å' | 'ā' | 'ă' | 'ą' => "a",
        'ä' | 'æ' => "ae",
        'ç' | 'ć' | 'ĉ' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ģ' => "g",
        'ì' | 'í' | 'î' | 'ï' | 'ī' | 'į' | 'ı' => "i",
        'ķ' => "k",
        'ĺ' | 'ľ' | 'ļ' | 'ł' => "l",
        'ñ' | 'ń' | 'ň' | 'ņ' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ø' | 'ō' | 'ő' => "o",
        'ö' | 'œ' => "oe",
        'ŕ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
        'ß' => "ss",
        'ţ' | 'ť' | 'ț' => "t",
        'þ' => "th",
        'ù' | 'ú' | 'û' | 'ū' | 'ů' | 'ű' | 'ų' => "u",
        'ü' => "ue",
        'ŵ' => "w",
        'ý' | 'ÿ' | 'ŷ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        other => {
            single[0] = if other.is_ascii() { other } else { ' ' };
            ""
        }
    };
    spelled.chars().chain(single.into_iter().filter(|c| *c != '\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_the_task_in_a_few_plain_words() {
        let cases = [
            ("Add rate limiting to the login endpoint", "add-rate-limiting"),
            ("\n  Fix `parse_args()`: it doesn't trim", "fix-parse-args-it-doesnt"),
            ("Übergröße für café prüfen", "uebergroesse-fuer-cafe-pruefen"),
            ("修复登录", "session"),
            ("修复 login 🚀", "login"),
            ("--force; rm -rf /", "force-rm-rf"),
            ("...", "session"),
            ("", "session"),
            ("the", "the"),
            ("a\u{202e}b .lock", "a-b-lock"),
        ];
        for (task, want) in cases {
            assert_eq!(slug(task), want, "{task:?}");
        }
        assert_eq!(slug(&"x".repeat(300)), "x".repeat(40));
        assert_eq!(slug(&format!("{} tail", "x".repeat(39))), "x".repeat(39));
    }

    #[test]
    fn w09_names_are_refused_as_git_refuses_them() {
        let accepted = ["a", "agent/x", "föö", "a.b", "🚀", "a@b", "x-"];
        let refused = [
            "", "-a", "HEAD", "@", "/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a.lock/b", "a.",
            "a..b", "a@{1}", "a b", "a~", "a^", "a:b", "a?", "a*", "a[", "a\\b", "a\nb", "a\u{7f}",
        ];
        let git = |name: &str| {
            let run = crate::process::Cmd::new("git").args(["check-ref-format", "--branch", name]);
            run.run().unwrap().exit == 0
        };
        for name in accepted {
            assert_eq!((check_branch(name), git(name)), (Ok(()), true), "{name:?}");
        }
        for name in refused {
            // git takes `@` for the word that means HEAD, and so as valid here.
            assert_eq!(
                (check_branch(name).is_ok(), git(name) && name != "@"),
                (false, false),
                "{name:?}"
            );
        }
        assert_eq!(check_branch(&"x".repeat(300)).unwrap_err().why, "it is too long");
        assert_eq!(check_name("a/b").unwrap_err().why, "it contains '/'");
    }

    #[test]
    fn fresh_ids_differ_and_are_names() {
        let ids: std::collections::BTreeSet<_> = (0..100).map(|_| fresh("a").unwrap()).collect();
        assert!(ids.len() > 95, "{ids:?}");
        for id in &ids {
            assert_eq!((check_name(id), id.len()), (Ok(()), 6));
        }
    }

    proptest::proptest! {
        #[test]
        fn every_slug_is_a_name(task in ".{0,120}") {
            let slug = slug(&task);
            proptest::prop_assert!(slug.len() <= SLUG_CHARS);
            proptest::prop_assert_eq!(check_name(&slug), Ok(()));
        }
    }
}

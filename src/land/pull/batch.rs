//! What the pull requests of a batch say of each other.
//!
//! Invariant: it stands behind our part of a description, in lines of its own; what a person writes
//! around it stays theirs, and where they have taken our part out, nothing is added.

use super::body;

/// How the part begins and ends; neither is shown.
const BEGIN: &str =
    "<!-- git-agent batch: what is between these lines is written anew at each update -->";
const END: &str = "<!-- git-agent batch: end -->";
/// A longer list is cut: a forge takes no description of any length.
const LISTED: usize = 200;

/// The pull requests of one batch.
#[derive(Clone, Debug)]
pub struct Siblings<'a> {
    /// The batch's id.
    pub batch: &'a str,
    /// Their pages, in the order of the repositories.
    pub pages: Vec<&'a str>,
    /// How many repositories have none.
    pub without: usize,
    /// Whether they belong together and are to be merged in this order.
    pub is_ordered: bool,
}

impl Siblings<'_> {
    /// What the one with this page says of all, in Markdown.
    pub fn text(&self, own: &str) -> String {
        let Self { batch, pages, without, is_ordered } = self;
        let of = pages.len();
        let how = if *is_ordered { ", to be merged together and in this order" } else { "" };
        let mut lines = vec![
            BEGIN.to_owned(),
            String::new(),
            format!("### Batch\n\nOne of {of} pull requests of `{batch}`{how}:\n"),
        ];
        lines.extend(pages.iter().take(LISTED).enumerate().map(|(at, page)| {
            let mark = if *is_ordered { format!("{}.", at + 1) } else { "-".to_owned() };
            let this = if *page == own { " (this one)" } else { "" };
            format!("{mark} {page}{this}")
        }));
        let more = of.saturating_sub(LISTED);
        if more > 0 {
            lines.push(format!("\nand {more} more."));
        }
        match without {
            0 => {}
            1 => lines.push("\n1 repository of the batch has none.".to_owned()),
            _ => lines.push(format!("\n{without} repositories of the batch have none.")),
        }
        lines.extend([String::new(), END.to_owned()]);
        lines.join("\n")
    }
}

/// A description with this text of [`Siblings`] in it; none where nothing changes.
pub fn joined(old: &str, text: &str) -> Option<String> {
    // A forge may give line ends back in its own way.
    let old = old.replace("\r\n", "\n");
    let known = old.find(BEGIN).and_then(|begin| {
        let end = begin + old[begin..].find(END)? + END.len();
        Some((begin, end))
    });
    let whole = match (known, old.find(body::END)) {
        (Some((begin, end)), _) => format!("{}{text}{}", &old[..begin], &old[end..]),
        (None, Some(ours)) => {
            let (before, after) = old.split_at(ours + body::END.len());
            format!("{before}\n\n{text}{after}")
        }
        (None, None) => return None,
    };
    (whole != old).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tells_of_all_and_which_it_is() {
        let siblings = Siblings {
            batch: "move-7f3k",
            pages: vec!["u/1", "u/2"],
            without: 1,
            is_ordered: false,
        };
        let text = format!(
            "{BEGIN}\n\n### Batch\n\nOne of 2 pull requests of `move-7f3k`:\n\n- u/1\n\
             - u/2 (this one)\n\n1 repository of the batch has none.\n\n{END}"
        );
        assert_eq!(siblings.text("u/2"), text);
        let ordered = Siblings { without: 0, is_ordered: true, ..siblings };
        let text = format!(
            "{BEGIN}\n\n### Batch\n\nOne of 2 pull requests of `move-7f3k`, to be merged together \
             and in this order:\n\n1. u/1 (this one)\n2. u/2\n\n{END}"
        );
        assert_eq!(ordered.text("u/1"), text);
    }

    #[test]
    fn it_stands_behind_our_part_once_and_a_persons_words_stay() {
        let ours = format!("<!-- git-agent: x -->\nTask\n{}", body::END);
        let text = |it: &str| format!("{BEGIN}\n{it}\n{END}");
        let first = joined(&format!("Closes #3\r\n\r\n{ours}\r\n\r\nThanks"), &text("a")).unwrap();
        assert_eq!(first, format!("Closes #3\n\n{ours}\n\n{}\n\nThanks", text("a")));
        assert_eq!(joined(&first, &text("a")), None);
        let second = joined(&first, &text("b")).unwrap();
        assert_eq!(second, format!("Closes #3\n\n{ours}\n\n{}\n\nThanks", text("b")));
        // Our own part is written anew beside it.
        assert_eq!(body::renewed(&second, &ours), None);
        assert_eq!(joined("all mine", &text("a")), None);
    }
}

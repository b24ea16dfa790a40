//! Answers for programs: versioned schemas, one JSON value a document.
//!
//! Invariant: the first key is `format`; a field may be added to a format, none renamed or
//! removed. Control characters in what others wrote stay escaped, as JSON has them.

use serde::Serialize;

use super::view::{CommitView, SessionCard, SessionView};
use crate::message::PlanItem;

/// The format number of all schemas here.
pub const FORMAT: u32 = 1;

/// `{"format":1,"sessions":[…]}`.
///
/// # Errors
/// Never for these values; serde's signature has one.
pub fn sessions(sessions: &[SessionView]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Document<'a> {
        format: u32,
        sessions: &'a [SessionView],
    }
    serde_json::to_string(&Document { format: FORMAT, sessions })
}

/// One session with its `plan` and `commits`: `{"format":1,"id":…,"plan":[…],"commits":[…]}`.
///
/// # Errors
/// Never for these values; serde's signature has one.
pub fn session(card: &SessionCard) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Document<'a> {
        format: u32,
        #[serde(flatten)]
        session: &'a SessionView,
        plan: &'a [PlanItem],
        commits: &'a [CommitView],
    }
    let SessionCard { session, plan, commits, .. } = card;
    serde_json::to_string(&Document { format: FORMAT, session, plan, commits })
}

/// `{"format":1,"<name>":…}` for any other listing.
///
/// # Errors
/// The value cannot be JSON, such as a map whose keys are no text.
pub fn named(name: &str, value: &impl Serialize) -> serde_json::Result<String> {
    let mut document = serde_json::Map::new();
    document.insert("format".to_owned(), FORMAT.into());
    document.insert(name.to_owned(), serde_json::to_value(value)?);
    serde_json::to_string(&document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::PlanStatus;
    use crate::ui::table::tests::{now, session as view, worked};
    use crate::ui::view::VerifyStatus;

    const SESSION: &str = concat!(
        r#""id":"add-jwt-7f3k","name":"add-jwt","task":"Add rate limiting to the login endpoint","#,
        r#""state":"running","reason":null,"branch":"agent/add-jwt","worktree":"/home/ada/shop.worktrees/add-jwt","#,
        r#""base":"1111111111111111111111111111111111111111","#,
        r#""head":"2222222222222222222222222222222222222222","#,
        r#""steps":14,"progress":{"done":1,"total":2},"files":4,"insertions":182,"deletions":0,"#,
        r#""verify":{"status":"none","command":null,"exit":null,"tree":null},"#,
        r#""usage":{"input":120000,"cached":108000,"output":4100,"cost_usd":null},"#,
        r#""sandbox":"none","created":"2026-11-22T14:48:00Z","updated":"2026-11-22T15:00:00Z","#,
        r#""question":null,"waiting":null,"queue":null,"question_kind":null,"#,
        r#""limits":{"budget_usd":null,"shared_budget":null,"tokens":null,"steps":null,"timeout_s":null},"#,
        r#""worked_s":0"#,
    );

    fn add_jwt() -> SessionView {
        let view = view("add-jwt-7f3k", "running", 12);
        worked(view, (1, 2), (4, 182), VerifyStatus::None, None)
    }

    #[test]
    fn format_1_of_list() {
        let expected = format!(r#"{{"format":1,"sessions":[{{{SESSION}}}]}}"#);
        assert_eq!(sessions(&[add_jwt()]).unwrap(), expected);
        assert_eq!(sessions(&[]).unwrap(), r#"{"format":1,"sessions":[]}"#);
    }

    #[test]
    fn format_1_of_status() {
        let card = SessionCard {
            options: Vec::new(),
            session: add_jwt(),
            plan: vec![PlanItem { text: "look\u{1b}".to_owned(), status: PlanStatus::Doing }],
            commits: vec![CommitView {
                id: "a1".to_owned(),
                subject: "look".to_owned(),
                time: now(),
            }],
            activity: String::new(),
            place: String::new(),
            summary: String::new(),
            notices: Vec::new(),
            limits: Vec::new(),
        };
        let rest = concat!(
            r#""plan":[{"text":"look\u001b","status":"doing"}],"#,
            r#""commits":[{"id":"a1","subject":"look","time":"2026-11-22T15:00:00Z"}]"#,
        );
        assert_eq!(session(&card).unwrap(), format!(r#"{{"format":1,{SESSION},{rest}}}"#));
    }
}

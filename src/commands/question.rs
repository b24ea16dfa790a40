//! What a session asks, as a person answers it.
//!
//! Invariant: a question is answered by what it asks for, words by `answer`, yes or no by `approve`
//! and `deny`; whoever answers in another way is told how, and nothing is changed.

use super::context::Context;
use super::control::{self, Woken};
use crate::config::ALLOW_HOST;
use crate::error::{CommandError, Result};
use crate::event::{Question, QuestionKind, Verdict};
use crate::git::ConfigEntry;
use crate::policy::Policy;
use crate::runner::settle;
use crate::sandbox::proxy::{Pattern, Place};
use crate::session::allowed;
use crate::session::asked::Asked;
use crate::session::state::Phase;
use crate::session::store::Session;

/// What a person types to answer.
pub fn how(id: &str, question: Option<&Question>) -> String {
    match question.map(|question| question.kind) {
        Some(kind) if kind.is_decision() => {
            format!("git agent approve {id}    git agent deny {id}")
        }
        Some(QuestionKind::Key) => format!("git agent resume {id} once it is mended"),
        _ => format!("git agent answer {id} \"…\""),
    }
}

/// What is to be answered, which nobody else can answer meanwhile; `is_right` says whether it is
/// answered in this way.
///
/// # Errors
/// Nothing is asked, or something else.
pub fn take(session: &Session, is_right: impl Fn(QuestionKind) -> bool) -> Result<Asked<'_>> {
    let id = &session.id;
    let before = session.state()?;
    let Some(asked) = Asked::of(session)? else {
        if before.phase == Phase::NeedsInput {
            return Err(CommandError::no(format!(
                "the question of {id} has been answered already"
            ))
            .hint(format!("git agent status {id}")));
        }
        let standing = control::standing(before.phase);
        return Err(CommandError::no(format!("{id} asks nothing: it {standing}"))
            .hint(format!("git agent status {id}")));
    };
    let question = asked.question();
    if !is_right(question.kind) {
        let wanted = match question.kind {
            kind if kind.is_decision() => "asks for yes or no",
            QuestionKind::Key => "waits for its key",
            _ => "asks for words",
        };
        return Err(CommandError::no(format!("{id} {wanted}: {}", question.text))
            .hint(how(id, Some(question))));
    }
    Ok(asked)
}

/// Decides what a session asks, and lets it go on.
///
/// # Errors
/// It asks nothing that is decided by yes or no, or cannot go on.
pub fn decide(
    context: &Context<'_>,
    session: &Session,
    verdict: Verdict,
    reason: &str,
) -> Result<Woken> {
    // Let go again: a session that follows its worktree needs the same right.
    drop(take(session, QuestionKind::is_decision)?);
    control::check_worktree(context, session)?;
    let asked = take(session, QuestionKind::is_decision)?;
    let question = asked.question().clone();
    if verdict == Verdict::Always && session.spec.share_budget.is_some() && is_on_budget(&question)
    {
        let message = format!("the budget of {} is shared: it is raised, not lifted", session.id);
        return Err(CommandError::no(message).hint(format!("git agent approve {}", session.id)));
    }
    check_raise(session, &question, verdict)?;
    let host = question.host().map(pattern_of).transpose()?;
    if let (Some(host), true, Some(policy)) = (&host, verdict.is_yes(), Policy::of_machine()?) {
        policy.check_network(&host.host())?;
    }
    let shared = session.spec.share_budget.as_deref().filter(|_| is_on_budget(&question));
    if let Some(name) = shared.filter(|_| verdict.is_yes()) {
        context.store.budget(name).raise(&session.id, question.number)?;
    }
    if let Some(host) = host.filter(|_| verdict == Verdict::Always) {
        add(context, ALLOW_HOST, &host.to_string())?;
    }
    asked.decide(verdict, reason.to_owned())?;
    if let Some(rule) = question.always.as_deref().filter(|_| verdict == Verdict::Always) {
        add(context, "agent.permission", rule)?;
    }
    let woken = control::wake(context, session)?;
    if let Some(name) = shared.filter(|_| verdict.is_yes()) {
        wake_others(context, session, name)?;
    }
    Ok(woken)
}

/// The pattern of a host that was asked about.
fn pattern_of(place: &str) -> Result<Pattern> {
    let place = Place::parse(place, None).map_err(|bad| CommandError::no(bad.to_string()))?;
    Ok(Pattern::of(&place))
}

/// Refuses to raise a limit above what the policy of this machine allows.
fn check_raise(session: &Session, question: &Question, verdict: Verdict) -> Result {
    let Some(limit) = question.limit.filter(|_| verdict.is_yes()) else { return Ok(()) };
    let Some(policy) = Policy::of_machine()? else { return Ok(()) };
    let mut limits = session.state()?.limits.unwrap_or(session.spec.limits);
    let more = session.spec.limits.of(limit).unwrap_or_default();
    let raised = limits.of(limit).map(|now| now + more);
    limits.set(limit, raised.filter(|_| verdict != Verdict::Always));
    Ok(policy.check_limits(allowed::caps(&limits))?)
}

/// Lets no session of the repository ask for it again.
fn add(context: &Context<'_>, key: &str, value: &str) -> Result {
    let is_it = |it: &ConfigEntry| it.key.eq_ignore_ascii_case(key) && it.value == value;
    if context.repo.config("agent").iter().any(is_it) {
        return Ok(());
    }
    context.repo.add_config(key, value)?;
    context.ui.narrate(&format!("Added to the repository's settings: {key} = {value}"));
    context.ui.hint("git config --edit takes it back");
    Ok(())
}

/// Says no to what a session asks. Where a limit is reached it pauses, and nobody is started for
/// that; else it goes on without what it asked for.
///
/// # Errors
/// It asks nothing that is decided by yes or no, or cannot go on.
pub fn deny(context: &Context<'_>, session: &Session, reason: &str) -> Result<QuestionKind> {
    let asked = take(session, QuestionKind::is_decision)?;
    let question = asked.question().clone();
    session.check_writable()?;
    let is_limit = question.kind == QuestionKind::Limit;
    if !is_limit || !settle::deny(&context.repo, session, &question, reason)? {
        drop(asked);
        decide(context, session, Verdict::Denied, reason)?;
    }
    Ok(question.kind)
}

/// Whoever waits for the same budget need not be asked as well.
fn wake_others(context: &Context<'_>, decided: &Session, name: &str) -> Result {
    for other in context.store.list()?.sessions {
        let shares = other.id != decided.id && other.spec.share_budget.as_deref() == Some(name);
        if shares && other.state()?.question.as_ref().is_some_and(is_on_budget) {
            let woken = control::wake(context, &other)?;
            context.ui.narrate(&format!("{} shares the budget and {}", other.id, woken.words()));
        }
    }
    Ok(())
}

fn is_on_budget(question: &Question) -> bool {
    question.limit == Some(crate::event::Limit::Budget)
}

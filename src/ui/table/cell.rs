//! The cells of the table of sessions: each a few words, or none for what is not known.
//!
//! Invariant: piped, a cell holds no ornament.

use crate::event::{Gate, GateKind};
use crate::ui::text::pad;
use crate::ui::view::{Progress, SessionView, VerifyStatus};
use crate::ui::{Look, Tone, units};

/// `███████░ 5/6` where there is room for a bar, else `5/6`; empty without a plan.
pub(crate) fn progress(Progress { done, total }: Progress, bar: usize, look: &Look) -> String {
    if total == 0 {
        return String::new();
    }
    let share = format!("{done}/{total}");
    if bar == 0 || !look.terminal {
        return share;
    }
    // Full only when all is done, and never empty once something is.
    let full = match (done * bar / total, done) {
        (0, 1..) => 1,
        (full, _) => full.min(bar),
    };
    let (filled, rest) = (look.glyph("█", "#"), look.glyph("░", "-"));
    format!("{}{} {share}", filled.repeat(full), rest.repeat(bar - full))
}

/// `4 files +182 −12`, or `4f +182 −12` where room is short; empty when nothing has changed.
pub(super) fn changes(session: &SessionView, is_short: bool, look: &Look) -> String {
    let SessionView { files, insertions, deletions, .. } = *session;
    if files == 0 {
        return String::new();
    }
    let files = if is_short {
        format!("{files}f")
    } else {
        // One file is padded to the width of many, so that the counts of lines stand in line.
        pad(&units::counted(files, "file"), "0 files".len())
    };
    format!("{files}{}", lines(insertions, deletions, look)).trim_end().to_owned()
}

/// ` +182 −12`, without what is nought.
pub(crate) fn lines(insertions: u64, deletions: u64, look: &Look) -> String {
    let minus = if look.terminal { look.glyph("−", "-") } else { "-" };
    let added = if insertions > 0 { format!(" +{insertions}") } else { String::new() };
    let removed = if deletions > 0 { format!(" {minus}{deletions}") } else { String::new() };
    added + &removed
}

/// What a gate is called in tables.
pub(crate) fn gate_name(gate: &Gate) -> &'static str {
    match gate.kind {
        GateKind::Coverage => "coverage",
        GateKind::Bench => "bench",
    }
}

/// `91.2 % (+1.0)`, `1.2 s (-3 %)`; none where nothing could be measured.
pub(crate) fn gate(gate: &Gate) -> Option<String> {
    let median = gate.after?.median;
    let change = gate.change();
    Some(match gate.kind {
        GateKind::Coverage => {
            let change = change.map_or_else(String::new, |change| format!(" ({change:+.1})"));
            format!("{median:.1} %{change}")
        }
        GateKind::Bench => {
            let change = change.map_or_else(String::new, |change| format!(" ({change:+.0} %)"));
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "milliseconds of a run are above nought and far below 2^64"
            )]
            let median = median.round() as u64;
            format!("{}{change}", units::duration(median))
        }
    })
}

pub(super) fn verify(session: &SessionView, begun: bool, look: &Look) -> (String, Tone) {
    let (glyph, ascii, word, tone) = match session.verify.status {
        VerifyStatus::Passed => ("✓", "+", "passed", Tone::Good),
        VerifyStatus::Failed => ("✗", "!", "failed", Tone::Bad),
        VerifyStatus::None if begun => ("–", "-", "-", Tone::Faint),
        VerifyStatus::None => ("", "", "-", Tone::Plain),
    };
    let text = if look.terminal { look.glyph(glyph, ascii) } else { word };
    (text.to_owned(), tone)
}

/// What it takes on the disk, where that was asked for.
pub(super) fn size(session: &SessionView) -> String {
    session.size.map_or_else(String::new, |size| units::bytes(size.total))
}

/// The price; nothing before the first answer, when there is nothing to pay.
pub(crate) fn cost(session: &SessionView) -> String {
    let usage = session.usage;
    if usage.input == 0 && usage.output == 0 { String::new() } else { units::cost(usage.cost_usd) }
}

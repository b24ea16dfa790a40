//! When a conversation is made shorter, and how much of it.
//!
//! Invariant: nothing is shortened before it hurts, then in one go, and not again within
//! [`REST`] steps; the last step stays whole.

use crate::agent::history::Weight;
use crate::event::Compaction;

/// Steps between two compactions.
pub(super) const REST: u32 = 10;
/// Shares of the window in percent, each with the most that it may come to in tokens.
const DROP_AT: Share = Share { percent: 50, most: 100_000 };
const DROP_BEHIND: Share = Share { percent: 20, most: 40_000 };
const DROP_FROM: Share = Share { percent: 15, most: 30_000 };
const SUMMARISE_AT: Share = Share { percent: 80, most: u64::MAX };
const KEEP: Share = Share { percent: 10, most: 20_000 };
/// The longest result that is left where the server has said that it is too much, in bytes.
pub(super) const LONGEST: usize = 2 << 10;
/// Bytes of a token, where the server counts none.
const TOKEN: u64 = 4;

/// A share of the window.
struct Share {
    percent: u64,
    most: u64,
}

impl Share {
    fn of(&self, window: u64) -> u64 {
        (window.saturating_mul(self.percent) / 100).min(self.most)
    }
}

/// How full the model's window is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fill {
    /// The window, in tokens.
    pub(super) window: u64,
    /// What the last request and its answer came to, in tokens; 0 where the server told nothing.
    pub(super) used: u64,
}

impl Fill {
    /// Whether it is worth a closer look.
    pub(super) fn hurts(self) -> bool {
        self.used == 0 || self.used >= DROP_AT.of(self.window)
    }
}

/// What is to be left out of the conversation, and whether a summary stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// As it is to be journalled, the summary apart.
    pub(super) compaction: Compaction,
    /// The steps that a summary is to stand for.
    pub(super) summarise_to: Option<u32>,
}

/// What to do about a conversation of these steps that fills the window so far.
pub(super) fn due(steps: &[Weight], fill: Fill) -> Option<Wish> {
    let scale = Scale::new(steps, fill);
    let Fill { window, .. } = fill;
    let share = scale.used.saturating_mul(100) / window.max(1);
    let reason = format!("the conversation fills {share} % of the model's window");
    if scale.used >= DROP_AT.of(window) {
        let results_to = scale.steps_behind(DROP_BEHIND.of(window));
        let old = steps.iter().filter(|weight| weight.step <= results_to);
        let freed = scale.tokens(old.map(|weight| weight.results).sum());
        if freed >= DROP_FROM.of(window).max(1) {
            let compaction = Compaction { reason, results_to, ..Compaction::default() };
            return Some(Wish { compaction, summarise_to: None });
        }
    }
    let steps_to = scale.steps_behind(KEEP.of(window));
    (scale.used >= SUMMARISE_AT.of(window) && steps_to > 0).then(|| Wish {
        compaction: Compaction { reason, ..Compaction::default() },
        summarise_to: Some(steps_to),
    })
}

/// What to do where the server says that the conversation is too long, whatever was counted: first
/// about the results, then about the steps. None, if neither would leave out enough: a doomed
/// request is not sent again for a few words less.
pub(super) fn overflow(steps: &[Weight], why: &str) -> Option<Wish> {
    let reason = why.to_owned();
    let bytes: usize = steps.iter().map(|weight| weight.bytes).sum();
    let last = steps.last()?.step;
    let behind = steps.last().map_or(0, |weight| weight.cut);
    let results = behind + steps.iter().rev().skip(1).map(|weight| weight.results).sum::<usize>();
    if results > bytes / 10 {
        let (results_to, longest) = (last.saturating_sub(1), Some(LONGEST as u64));
        let compaction = Compaction { reason, results_to, longest, ..Compaction::default() };
        return Some(Wish { compaction, summarise_to: None });
    }
    let scale = Scale { steps, used: bytes as u64, bytes };
    let steps_to = scale.steps_behind(bytes as u64 / 8);
    let old = steps.iter().filter(|weight| (1..=steps_to).contains(&weight.step));
    let freed: usize = old.map(|weight| weight.bytes).sum();
    (freed > bytes / 10).then(|| Wish {
        compaction: Compaction { reason, ..Compaction::default() },
        summarise_to: Some(steps_to),
    })
}

/// Tokens for bytes, by what the whole has come to.
struct Scale<'a> {
    steps: &'a [Weight],
    used: u64,
    bytes: usize,
}

impl<'a> Scale<'a> {
    fn new(steps: &'a [Weight], fill: Fill) -> Self {
        let bytes = steps.iter().map(|weight| weight.bytes).sum();
        let used = if fill.used > 0 { fill.used } else { bytes as u64 / TOKEN };
        Self { steps, used, bytes }
    }

    fn tokens(&self, bytes: usize) -> u64 {
        let tokens = bytes as u128 * u128::from(self.used) / (self.bytes as u128).max(1);
        u64::try_from(tokens).unwrap_or(u64::MAX)
    }

    /// The last step behind which so many tokens come, the last step of all apart; 0 is none.
    fn steps_behind(&self, tokens: u64) -> u32 {
        let mut behind = 0;
        let mut newest_first = self.steps.iter().rev();
        behind += newest_first.next().map_or(0, |last| last.bytes);
        for weight in newest_first {
            if self.tokens(behind) >= tokens {
                return weight.step;
            }
            behind += weight.bytes;
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of a result of so many bytes each, behind a task.
    fn steps(count: u32, bytes: usize) -> Vec<Weight> {
        let task = Weight { step: 0, bytes: 1_000, results: 0, cut: 0 };
        let cut = bytes.saturating_sub(LONGEST);
        let step = |step| Weight { step, bytes: bytes + 100, results: bytes, cut };
        [task].into_iter().chain((1..=count).map(step)).collect()
    }

    fn results_to(steps: &[Weight], window: u64, used: u64) -> Option<u32> {
        due(steps, Fill { window, used }).map(|wish| wish.compaction.results_to)
    }

    #[test]
    fn results_go_in_one_go_and_only_where_it_pays() {
        let fifty = steps(50, 8_000);
        assert_eq!(results_to(&fifty, 200_000, 99_999), None, "it does not hurt yet");
        // A step is 2,000 tokens: 20 of them stay.
        assert_eq!(results_to(&fifty, 200_000, 102_000), Some(30));
        assert_eq!(results_to(&fifty, 1_000_000, 102_000), Some(30));
        // A smaller window keeps a fifth of itself.
        assert_eq!(results_to(&fifty, 110_000, 102_000), Some(39));
        let small = steps(500, 10);
        assert_eq!(results_to(&small, 200_000, 102_000), None, "there is little to gain");
    }

    #[test]
    fn near_the_end_a_summary_stands_for_the_beginning() {
        let small = steps(400, 0);
        assert_eq!(due(&small, Fill { window: 200_000, used: 159_999 }), None);
        let wish = due(&small, Fill { window: 200_000, used: 160_000 }).unwrap();
        // 41,000 bytes are 160,000 tokens: 20,000 are 52 steps.
        assert_eq!((wish.compaction.results_to, wish.summarise_to), (0, Some(348)));
        assert_eq!(wish.compaction.reason, "the conversation fills 80 % of the model's window");
        let one = steps(1, 0);
        assert_eq!(due(&one, Fill { window: 100, used: 100 }), None, "the last step stays");
    }

    #[test]
    fn where_the_server_counts_nothing_bytes_do() {
        let fifty = steps(50, 8_000);
        assert!(due(&fifty, Fill { window: 200_000, used: 0 }).is_some());
        assert!(due(&fifty, Fill { window: 1_000_000, used: 0 }).is_some());
        assert_eq!(due(&fifty[..20], Fill { window: 200_000, used: 0 }), None);
    }

    #[test]
    fn what_is_too_long_is_cut_by_a_good_part_or_not_at_all() {
        let Wish { compaction, summarise_to } = overflow(&steps(16, 3_000), "too long").unwrap();
        assert_eq!((compaction.results_to, compaction.longest), (15, Some(2048)));
        assert_eq!(summarise_to, None, "results come first");
        let wish = overflow(&steps(16, 0), "too long").unwrap();
        assert_eq!((wish.compaction.results_to, wish.summarise_to), (0, Some(12)));
        // One long result is cut, though its step stays.
        let one = overflow(&steps(1, 50_000), "too long").unwrap();
        assert_eq!((one.compaction.results_to, one.summarise_to), (0, None));
        assert_eq!(overflow(&steps(1, 10), "too long"), None, "it is the task that is too long");
        assert_eq!(overflow(&[], "too long"), None);
    }
}

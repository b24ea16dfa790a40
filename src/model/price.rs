//! What is known of a vendor's models: window, limit, price.
//!
//! Invariant: what is not known is `None`, never 0; a price is the vendor's own list price on the
//! table's date.

use serde::Deserialize;

use crate::message::Usage;

/// The table as shipped; a test reads it, so it can be read.
const TABLE: &str = include_str!("prices.toml");

#[derive(Deserialize)]
struct Table {
    model: Vec<Known>,
}

/// One model that is known.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Known {
    vendor: String,
    id: String,
    /// Window, in tokens.
    pub(super) context: u64,
    /// Longest answer, in tokens.
    pub(super) max_output: u64,
    thinking: Option<Thinking>,
    input: f64,
    cache_read: f64,
    /// None costs what all input costs.
    cache_write: Option<f64>,
    output: f64,
    long: Option<Long>,
}

/// How a model thinks, where that must be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Thinking {
    Adaptive,
}

/// What long prompts cost more: factors, for prompts over so many tokens.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
struct Long {
    over: u64,
    input: f64,
    output: f64,
}

impl Known {
    /// Looks up a model of a vendor.
    pub(super) fn find(vendor: &str, model: &str) -> Option<Self> {
        let table: Table = toml::from_str(TABLE).ok()?;
        table.model.into_iter().find(|known| known.vendor == vendor && known.is(model))
    }

    fn is(&self, model: &str) -> bool {
        match model.strip_prefix(self.id.as_str()) {
            Some("" | "-latest") => true,
            Some(rest) => is_date(rest),
            None => false,
        }
    }

    /// Whether the model decides itself how much to think, once it is asked to.
    pub(super) fn thinks_adaptively(&self) -> bool {
        self.thinking == Some(Thinking::Adaptive)
    }

    /// Dollars for one answer.
    pub(super) fn cost(&self, usage: &Usage) -> f64 {
        let long = self.long.filter(|long| usage.input > long.over);
        let (input_factor, output_factor) =
            long.map_or((1.0, 1.0), |long| (long.input, long.output));
        let fresh = usage.input.saturating_sub(usage.cached + usage.cache_write);
        let input = tokens(fresh) * self.input
            + tokens(usage.cached) * self.cache_read
            + tokens(usage.cache_write) * self.cache_write.unwrap_or(self.input);
        (input * input_factor + tokens(usage.output) * self.output * output_factor) / 1e6
    }
}

/// `-20250929`, `-2025-08-07`, `@20250929`: the date of a snapshot, not a smaller version.
fn is_date(rest: &str) -> bool {
    let digits = rest.chars().filter(char::is_ascii_digit).count();
    rest.starts_with(['-', '@'])
        && digits == 8
        && rest.chars().skip(1).all(|c| c.is_ascii_digit() || c == '-')
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn tokens(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_table_can_be_read_and_has_no_id_twice() {
        let table: Table = toml::from_str(TABLE).unwrap();
        let mut ids: Vec<_> = table.model.iter().map(|known| (&known.vendor, &known.id)).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), table.model.len());
        for known in &table.model {
            assert!(known.input > 0.0 && known.output > known.input, "{}", known.id);
            assert!(known.cache_read < known.input, "{}", known.id);
            assert!(known.max_output < known.context, "{}", known.id);
        }
    }

    #[test]
    fn an_id_stands_for_its_snapshots_and_nothing_else() {
        let found = |vendor, model| Known::find(vendor, model).map(|known| known.id);
        let id = |id: &str| Some(id.to_owned());
        assert_eq!(found("anthropic", "claude-opus-5"), id("claude-opus-5"));
        assert_eq!(found("anthropic", "claude-opus-5-5"), id("claude-opus-5-5"));
        assert_eq!(found("anthropic", "claude-sonnet-4-5-20250929"), id("claude-sonnet-4-5"));
        assert_eq!(found("openai", "gpt-5-2025-08-07"), id("gpt-5"));
        assert_eq!(found("anthropic", "claude-opus-5-9"), None);
        assert_eq!(found("openai", "gpt-5-pro"), None);
        assert_eq!(found("openai", "claude-opus-5"), None);
    }

    #[test]
    fn cached_tokens_have_their_own_price_and_long_prompts_too() {
        let close = |vendor, model, usage: Usage, dollars: f64| {
            let cost = Known::find(vendor, model).unwrap().cost(&usage);
            assert!((cost - dollars).abs() < 1e-9, "{model}: {cost} for {dollars}");
        };
        let usage =
            Usage { input: 1_000_000, cached: 600_000, cache_write: 100_000, output: 10_000 };
        close("anthropic", "claude-opus-5", usage, 1.5 + 0.3 + 0.625 + 0.25);
        let usage = Usage { input: 100_000, output: 1000, ..Usage::default() };
        close("anthropic", "claude-haiku-5-5", usage, 0.01 + 0.0005);
        let usage = Usage { input: 300_000, output: 1000, ..Usage::default() };
        close("openai", "gpt-5.4", usage, 2.0 * 0.75 + 1.5 * 0.015);
    }
}
